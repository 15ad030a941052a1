/**
 * Where things are pinned. Names hold no dots: the BPF file system keeps those for itself
 * (kernel/bpf/inode.c, bpf_lookup).
 */
import { type BpfProgram, openProgram } from "./bpf/program.js";
import { type BpfLink, openLink } from "./bpf/link.js";
import { type Folder, errorCode } from "./folder.js";
import { bpffsPath, mountBpffs, openBpffs } from "./mounts.js";

const FOLDER = "ilm";
/** The one link that says which generation is in force. */
export const LOOKUP_LINK = "lookup";

/** In the folder of a program set. */
export const LOOKUP_PROGRAM = "program";

export type Numbered = "generation" | "programs" | "registry";

export function folderName(kind: Numbered, number: number): string {
  return `${kind}-${number}`;
}

/** What is being built; renamed when it is complete, removed when it is found. */
export function stagingName(kind: Numbered | "link"): string {
  return `staging-${kind}`;
}

/** Where the pins of a network namespace are or would be, for messages. */
export function pinPath(netnsInode: number): string {
  return `${bpffsPath()}/${FOLDER}/${netnsInode}`;
}

/** What is pinned for one network namespace: open folders, to be closed. */
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

  /** Undefined when nothing is pinned for this namespace. Throws UNSAFE_PATH. */
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
   * The same, with what is missing made: the mount, and the folders. Throws UNSAFE_PATH, NO_BPFFS.
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
          // Another namespace's unload found it empty.
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

  /** The `sk_lookup` program of a set. */
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
   * The number of what has this `sk_lookup` program: a program set; up to state format 7 each
   * generation had one.
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

  /** An empty folder for what is being built, to be closed. */
  stage(kind: Numbered): Folder {
    this.base.remove(stagingName(kind));
    return this.base.makeFolder(stagingName(kind));
  }

  /** What was staged is complete from now on. */
  publish(kind: Numbered, number: number): void {
    this.base.rename(stagingName(kind), folderName(kind, number));
  }

  /** Numbers of those that are pinned. */
  numbers(kind: Numbered): number[] {
    return numbersIn(this.base.names(), kind);
  }

  /** Inode numbers of the other network namespaces for which something is pinned. */
  otherNamespaces(): number[] {
    return namespacesIn(this.#parent).filter((inode) => String(inode) !== this.#name);
  }

  /** Removes the folders that hold nothing. */
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

/** Numbers of those of a kind that have these names. */
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
 * The folder of all network namespaces; both to be closed. Undefined when it is not there. Throws
 * UNSAFE_PATH.
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

/** Inode numbers of the network namespaces for which something is pinned. Throws UNSAFE_PATH. */
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
