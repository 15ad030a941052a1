/**
 * Where things are pinned. Names contain no dots: the BPF file system reserves those
 * (kernel/bpf/inode.c, bpf_lookup).
 */
import { type BpfProgram, openProgram } from "./bpf/program.js";
import { type BpfLink, openLink } from "./bpf/link.js";
import { type Folder, errorCode } from "./folder.js";
import { bpffsPath, mountBpffs, openBpffs } from "./mounts.js";

const FOLDER = "ilm";
/** The name of the one link that says which program set decides. */
export const LOOKUP_LINK = "lookup";

/** The name of the `sk_lookup` program in a program set's folder. */
export const LOOKUP_PROGRAM = "program";

export type Numbered = "generation" | "programs" | "registry";

export function folderName(kind: Numbered, number: number): string {
  return `${kind}-${number}`;
}

/** Returns the name of what is being built. It is renamed when complete; a leftover is removed. */
export function stagingName(kind: Numbered | "link"): string {
  return `staging-${kind}`;
}

/** Returns where the pins of a network namespace are or would be, for messages. */
export function pinPath(netnsInode: number): string {
  return `${bpffsPath()}/${FOLDER}/${netnsInode}`;
}

/** The pins of one network namespace, as open folders. The caller closes them. */
export class Pins {
  readonly #bpffs: Folder;
  readonly #parent: Folder;
  readonly base: Folder;
  readonly #name: string;

  private constructor(bpffs: Folder, parent: Folder, base: Folder, name: string) {
    this.#bpffs = bpffs;
    this.#parent = parent;
    this.base = base;
    this.#name = name;
  }

  /**
   * Opens the pins of a namespace. Returns undefined when nothing is pinned for it. Throws
   * UNSAFE_PATH.
   */
  static open(netnsInode: number): Pins | undefined {
    const state = openState();
    if (state === undefined) return undefined;
    const { bpffs, parent } = state;
    const name = String(netnsInode);
    let base: Folder | undefined;
    try {
      base = parent.folder(name);
    } finally {
      if (base === undefined) closeAll(parent, bpffs);
    }
    return base && new Pins(bpffs, parent, base, name);
  }

  /**
   * Opens the pins of a namespace, and creates what is missing: the mount and the folders. Throws
   * UNSAFE_PATH, NO_BPFFS.
   */
  static make(netnsInode: number): Pins {
    const bpffs = mountBpffs();
    const name = String(netnsInode);
    try {
      for (;;) {
        const parent = bpffs.makeFolder(FOLDER);
        try {
          return new Pins(bpffs, parent, parent.makeFolder(name), name);
        } catch (error) {
          parent.close();
          // Another namespace's unload removed it while it was empty.
          if (errorCode(error) !== "ENOENT") throw error;
        }
      }
    } catch (error) {
      bpffs.close();
      throw error;
    }
  }

  lookupLink(): BpfLink | undefined {
    return openLink(this.base, LOOKUP_LINK);
  }

  /** Opens the `sk_lookup` program of a set. */
  lookupProgram(programs: number): BpfProgram | undefined {
    return this.#lookupProgram("programs", programs);
  }

  #lookupProgram(kind: "generation" | "programs", number: number): BpfProgram | undefined {
    const folder = this.folder(kind, number);
    const program = folder && openProgram(folder, LOOKUP_PROGRAM);
    folder?.close();
    return program;
  }

  /**
   * Returns the number of what has this `sk_lookup` program: a program set, or, up to state format
   * 7, a generation.
   */
  numberOf(kind: "generation" | "programs", programId: number): number | undefined {
    return this.numbers(kind).find((number) => {
      const program = this.#lookupProgram(kind, number);
      const found = program?.id === programId;
      program?.close();
      return found;
    });
  }

  folder(kind: Numbered, number: number): Folder | undefined {
    return this.base.folder(folderName(kind, number));
  }

  /** Reports whether the folder is there, with all these names in it. */
  hasAll(kind: Numbered, number: number, wanted: readonly string[]): boolean {
    const folder = this.folder(kind, number);
    if (folder === undefined) return false;
    const names = new Set(folder.names());
    folder.close();
    return wanted.every((name) => names.has(name));
  }

  /** Creates an empty folder for what is being built. The caller closes it. */
  stage(kind: Numbered): Folder {
    this.base.remove(stagingName(kind));
    return this.base.makeFolder(stagingName(kind));
  }

  /** Publishes what was staged, which is now complete. */
  publish(kind: Numbered, number: number): void {
    this.base.rename(stagingName(kind), folderName(kind, number));
  }

  /** Returns the numbers of those that are pinned. */
  numbers(kind: Numbered): number[] {
    return numbersIn(this.base.names(), kind);
  }

  /** Returns the inode numbers of other network namespaces that have pins. */
  otherNamespaces(): number[] {
    return namespacesIn(this.#parent).filter((inode) => String(inode) !== this.#name);
  }

  /** Removes the folders if they are empty. */
  removeEmpty(): void {
    if (this.#parent.removeIfEmpty(this.#name)) this.#bpffs.removeIfEmpty(FOLDER);
  }

  /** Removes everything that is pinned for this namespace. */
  removeAll(): void {
    this.#parent.remove(this.#name);
    this.#bpffs.removeIfEmpty(FOLDER);
  }

  close(): void {
    closeAll(this.base, this.#parent, this.#bpffs);
  }
}

/** Returns the numbers in those names that are of this kind. */
export function numbersIn(names: readonly string[], kind: Numbered): number[] {
  const pattern = new RegExp(`^${kind}-(\\d+)$`);
  return names
    .map((name) => pattern.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number);
}

function closeAll(...folders: readonly Folder[]): void {
  for (const folder of folders) folder.close();
}

/**
 * Opens the folder of all network namespaces. The caller closes both. Returns undefined when it
 * does not exist. Throws UNSAFE_PATH.
 */
function openState(): { readonly bpffs: Folder; readonly parent: Folder } | undefined {
  const bpffs = openBpffs();
  if (bpffs === undefined) return undefined;
  let parent: Folder | undefined;
  try {
    parent = bpffs.folder(FOLDER);
  } finally {
    if (parent === undefined) bpffs.close();
  }
  return parent && { bpffs, parent };
}

/** Returns the inode numbers of network namespaces that have pins. Throws UNSAFE_PATH. */
export function pinnedNamespaces(): number[] {
  const state = openState();
  if (state === undefined) return [];
  const { bpffs, parent } = state;
  try {
    return namespacesIn(parent);
  } finally {
    closeAll(parent, bpffs);
  }
}

function namespacesIn(parent: Folder): number[] {
  return parent
    .names()
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}
