/** What this process knows of ilm in the main thread's network namespace. */
import { ILM_ABI_VERSION } from "../../abi/generated.js";
import { IlmError } from "../../errors.js";
import { type BpfLink, skLookupLinks, linkById } from "../../kernel/bpf/link.js";
import { programName } from "../../kernel/bpf/program.js";
import type { Folder } from "../../kernel/folder.js";
import { netnsInode, netnsCookie } from "../../kernel/netns.js";
import { Pins, pinPath, LOOKUP_LINK, folderName } from "../../kernel/pins.js";
import { printable } from "../../printable.js";
import { version } from "../../version.js";
import { type Description, isUndecodable } from "../description.js";
import { Earlier } from "../earlier.js";
import { readHeader, describeHeader } from "../header.js";
import { Generation } from "./generation.js";
import { ingressIsPossible } from "./interfaces.js";
import { Programs } from "./programs.js";
import { Registry } from "./registry.js";

/** An active generation, with what it is built on. */
export interface Loaded {
  /** Replaced when it was detached and is repaired. */
  link: BpfLink;
  readonly programId: number;
  readonly generation: Generation;
  readonly description: Description;
  readonly registry: Registry;
  /**
   * True while its pins are where others find them. False when they are gone, or another BPF file
   * system covers them: it then lives only through this process's descriptors.
   */
  pinned: boolean;
  /**
   * True when this process activated it, and no running program has read what was active before.
   */
  isAlone: boolean;
}

/** The rest of a change that decides already. */
interface Unfinished {
  finish(): void;
  /** Closes what was active before. */
  close(): void;
}

interface Look {
  readonly current: Loaded | Earlier | undefined;
  /** Why the active state cannot be read. */
  readonly trouble: IlmError | null;
}

export const notLoaded = (): IlmError =>
  new IlmError("NOT_LOADED", "nothing is loaded in this network namespace", {
    remedy: "Apply a configuration: ilm apply -f FILE, or ilm run -f FILE",
  });

/** Settings for tests and measurements. */
export interface DataPlaneOptions {
  /** The number of mappings in the file from which on run-time mappings are an overlay. */
  readonly layeredFrom?: number;
  /** A fixed seed instead of a random one. */
  readonly drawSeed?: number;
  /** The limit, in bytes, for all copies of the counters together. */
  readonly counterBytes?: number;
  /**
   * Reports whether ingress is available. Tests return false to behave as on a kernel without tcx.
   */
  readonly ingress?: () => boolean;
}

/** What this process knows of ilm in the main thread's network namespace. */
export class State {
  readonly netnsInode = netnsInode();
  readonly cookie = netnsCookie();
  readonly settings: DataPlaneOptions & Required<Pick<DataPlaneOptions, "ingress">>;
  loaded: Loaded | undefined;
  /** The active state when an earlier version made it; `loaded` is then undefined. */
  earlier: Earlier | undefined;
  /** True when this process stays, and puts back what others remove. */
  holds = false;
  unfinished: Unfinished | undefined;
  /** Set while `asOne` runs. Its `pins` are undefined when there are none. */
  #shared: { pins: Pins | undefined } | undefined;

  constructor(settings: DataPlaneOptions) {
    this.settings = { ingress: ingressIsPossible, ...settings };
  }

  get pinPath(): string {
    return pinPath(this.netnsInode);
  }

  asOne<T>(action: () => T): T {
    return this.withPins(action);
  }

  /** Runs `action` with the pins, which are opened once for everything it calls. */
  withPins<T>(action: (pins: Pins | undefined) => T): T {
    if (this.#shared !== undefined) return action(this.#shared.pins);
    const shared = { pins: Pins.open(this.netnsInode) };
    this.#shared = shared;
    try {
      return action(shared.pins);
    } finally {
      this.#shared = undefined;
      shared.pins?.close();
    }
  }

  /** Runs `action` with the pins, which are created when there are none. */
  withMadePins<T>(action: (pins: Pins) => T): T {
    return this.withPins((found) => {
      const pins = found ?? Pins.make(this.netnsInode);
      if (this.#shared !== undefined) this.#shared.pins = pins;
      return action(pins);
    });
  }

  /**
   * Returns the active state, which another process may have changed since the last call. Throws
   * UNSAFE_PATH, INCOMPATIBLE.
   */
  current(): Loaded | Earlier | undefined {
    return this.withPins((pins) => {
      const link = pins?.lookupLink();
      if (pins !== undefined && link !== undefined) return this.find(pins, link);
      if (this.holds && this.loaded?.link.info().isAttached === true) {
        this.loaded.pinned = false;
        return this.loaded;
      }
      this.forget();
      const unpinned = findUnpinned(this.netnsInode);
      if (unpinned !== undefined) {
        throw unreadable(
          unpinned.programId,
          `rules of ilm decide in this network namespace, but their state is not below ${this.pinPath}: it was removed, or another BPF file system is mounted over it`,
        );
      }
      return undefined;
    });
  }

  find(pins: Pins, link: BpfLink): Loaded | Earlier | undefined {
    const { programId } = link.info();
    const before = this.loaded;
    const earlier = this.earlier;
    if (earlier?.link.info().programId === programId && earlier.isCurrent()) {
      link.close();
      return earlier;
    }
    if (before?.programId === programId) {
      const { programs } = before.generation;
      if (programs.generationOn(programs.active.side) === before.generation.number) {
        link.close();
        return before;
      }
    }
    this.forget();
    const programs = programsOf(pins, programId);
    const generation = programs && openActive(pins, programs);
    if (generation === undefined) {
      programs?.close();
      return this.findEarlier(pins, link);
    }
    const description = describe(generation);
    const registry = description && Registry.open(pins, description.registry, this.cookie);
    if (description === undefined || registry === undefined) {
      generation.discard();
      generation.programs.close();
      return this.findEarlier(pins, link);
    }
    this.loaded = {
      link,
      programId,
      generation,
      description,
      registry,
      pinned: true,
      isAlone: false,
    };
    return this.loaded;
  }

  /**
   * Opens an earlier version's state. Returns undefined for the remains of an ended namespace whose
   * inode number is used again. Any other state decides and cannot be read: throws INCOMPATIBLE.
   */
  findEarlier(pins: Pins, link: BpfLink): Earlier | undefined {
    this.earlier = Earlier.open(pins, link, this.cookie);
    if (this.earlier !== undefined) return this.earlier;
    const { netnsInode: inode, programId } = link.info();
    link.close();
    if (inode !== this.netnsInode) return undefined;
    throw unreadable(
      programId,
      `rules of ilm decide in this network namespace, but their state below ${this.pinPath} is incomplete`,
    );
  }

  /**
   * Returns the active state if this version made it. What an earlier version has attached is
   * unknown.
   */
  own(): Loaded | undefined {
    return ownOf(this.current());
  }

  require(): Loaded {
    const current = this.current();
    if (current === undefined) throw notLoaded();
    if (current instanceof Earlier) throw takeOverFirst(current);
    return current;
  }

  /** Reports whether all of it is where the next command looks for it. */
  isPinned(loaded: Loaded): boolean {
    return this.withPins((pins) => {
      if (pins === undefined || !loaded.pinned) return false;
      const { generation, registry } = loaded;
      const folders = [
        ["generation", generation.number],
        ["programs", generation.programs.number],
        ["registry", registry.number],
      ] as const;
      const names = pins.base.names();
      return (
        names.includes(LOOKUP_LINK) &&
        folders.every(([kind, number]) => names.includes(folderName(kind, number)))
      );
    });
  }

  isLost(): boolean {
    return this.asOne(() => {
      const loaded = this.own();
      if (loaded === undefined) return false;
      loaded.pinned = this.isPinned(loaded);
      return !loaded.pinned;
    });
  }

  forget(): void {
    this.unfinished?.close();
    this.unfinished = undefined;
    this.loaded?.link.close();
    this.loaded?.generation.close();
    this.loaded?.generation.programs.close();
    this.loaded?.registry.close();
    this.loaded = undefined;
    this.earlier?.close();
    this.earlier = undefined;
  }

  settle(): void {
    const unfinished = this.unfinished;
    if (unfinished === undefined) return;
    unfinished.finish();
    this.unfinished = undefined;
    unfinished.close();
  }

  /** Returns the active state if this version made it and it can be read. */
  ownReadable(): Loaded | undefined {
    return ownOf(this.look().current);
  }

  /**
   * Returns the active state for a writer, to which an unreadable one is as good as none and is
   * replaced.
   */
  look(): Look {
    try {
      return { current: this.current(), trouble: null };
    } catch (error) {
      if (error instanceof IlmError && error.code === "INCOMPATIBLE") {
        return { current: undefined, trouble: error };
      }
      throw error;
    }
  }

  /** Runs `action` in the registry's folder. Returns undefined when that has just been removed. */
  inRegistry<T>(
    { registry }: Pick<Loaded, "registry">,
    action: (folder: Folder) => T,
  ): T | undefined {
    return this.withPins((pins) => {
      const folder = pins?.folder("registry", registry.number);
      try {
        return folder && action(folder);
      } finally {
        folder?.close();
      }
    });
  }
}

/** Thrown when the state is a newer version's. */
export class NewerState extends IlmError {}

/**
 * Explains why state cannot be read. The header of the deciding program, `programId`, tells a newer
 * version's state from an incomplete one.
 */
function unreadable(programId: number, message: string): IlmError {
  const header = readHeader(programId);
  if (header === undefined || header.format <= ILM_ABI_VERSION) {
    return new IlmError("INCOMPATIBLE", message, {
      remedy:
        "Apply the whole configuration (ilm apply -f FILE, or ilm run -f FILE): it takes over without interruption",
    });
  }
  return new NewerState(
    "INCOMPATIBLE",
    `a newer version of ilm made the rules that decide in this network namespace, and this is ${version} (state format ${ILM_ABI_VERSION}): ${describeHeader(header)}`,
    {
      remedy:
        "Use that version. To go back to this one without interruption, write down what was added at run time (`ilm mappings` of the newer version), and give this one the whole configuration: ilm apply -f FILE --over-newer, or ilm run -f FILE --over-newer",
    },
  );
}

function takeOverFirst({ format, description }: Earlier): IlmError {
  return new IlmError(
    "INCOMPATIBLE",
    `an earlier version of ilm (${printable(description.version)}, state format ${format}) made the active rules, and only that version can answer this`,
    {
      remedy:
        "Any change takes them over without interruption: ilm apply -f FILE, ilm add, ilm remove, or ilm run",
    },
  );
}

/** Finds our link in a namespace that decides although nothing is pinned where we look. */
function findUnpinned(netnsInode: number): ReturnType<typeof skLookupLinks>[number] | undefined {
  return skLookupLinks(netnsInode).find(({ programId }) =>
    programName(programId).startsWith("ilm_lookup"),
  );
}

/**
 * Opens our link in a namespace that decides although nothing is pinned where we look. The caller
 * closes it.
 */
export function unpinnedLink(netnsInode: number): BpfLink | undefined {
  const found = findUnpinned(netnsInode);
  return found && linkById(found.id);
}

/** Opens the set to which the program belongs. */
function programsOf(pins: Pins, programId: number): Programs | undefined {
  const number = pins.numberOf("programs", programId);
  return number === undefined ? undefined : Programs.open(pins, number);
}

/** Opens the active generation of these programs. Returns undefined when it is incomplete. */
function openActive(pins: Pins, programs: Programs): Generation | undefined {
  let number = programs.generationOn(programs.active.side);
  for (;;) {
    const generation = Generation.open(pins, number, programs);
    if (generation !== undefined) return generation;
    // Another process may just have activated the next one and removed this one.
    const now = programs.generationOn(programs.active.side);
    if (now === number) return undefined;
    number = now;
  }
}

/** Returns the description, or undefined when there is none of this version. */
function describe(generation: Generation): Description | undefined {
  try {
    return generation.describe();
  } catch (error) {
    if (isUndecodable(error)) return undefined;
    throw error;
  }
}

export function ownOf(current: Loaded | Earlier | undefined): Loaded | undefined {
  return current instanceof Earlier ? undefined : current;
}

export function isOff(loaded: Loaded | Earlier | undefined): boolean {
  if (loaded instanceof Earlier) return loaded.off;
  return loaded?.generation.programs.active.off === true;
}
