/**
 * What of ilm there is in the main thread's network namespace, as far as this process has looked.
 */
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

/** A generation in force, with what it stands on. */
export interface Loaded {
  /** Another one after it was detached and repaired. */
  link: BpfLink;
  readonly programId: number;
  readonly generation: Generation;
  readonly description: Description;
  readonly registry: Registry;
  /**
   * False: its pins are gone, or another BPF file system covers them. It lives by what this process
   * holds.
   */
  pinned: boolean;
  /**
   * This process put it in force, and no program is at work any more that has read what was in
   * force before.
   */
  isAlone: boolean;
}

/** The rest of a change that decides already. */
interface Unfinished {
  finish(): void;
  /** Of what was in force before. */
  close(): void;
}

interface Look {
  readonly current: Loaded | Earlier | undefined;
  /** Why what decides cannot be read. */
  readonly trouble: IlmError | null;
}

export const notLoaded = (): IlmError =>
  new IlmError("NOT_LOADED", "nothing is loaded in this network namespace", {
    remedy: "Put a configuration in force: ilm apply -f FILE, or ilm run -f FILE",
  });

/** For tests and measurements. */
export interface DataPlaneOptions {
  /** From how many mappings of the file on those added at run time are an overlay. */
  readonly layeredFrom?: number;
  /** Instead of a random one. */
  readonly drawSeed?: number;
  /** The most that the copies of the counters may take. */
  readonly counterBytes?: number;
  /** Says no: then all is as on a kernel without tcx. */
  readonly ingress?: () => boolean;
}

/**
 * What of ilm there is in the main thread's network namespace, as far as this process has looked.
 */
export class State {
  readonly netnsInode = netnsInode();
  readonly cookie = netnsCookie();
  readonly settings: DataPlaneOptions & Required<Pick<DataPlaneOptions, "ingress">>;
  loaded: Loaded | undefined;
  /** Instead of `loaded`: what an earlier version made decides. */
  earlier: Earlier | undefined;
  /** This process stays, and puts back what others take away. */
  holds = false;
  unfinished: Unfinished | undefined;
  /** Set while `asOne` is at work; its pins are undefined when there are none. */
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

  /** With the pins, which are opened once for all that `action` calls. */
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

  /** The same, made when there are none. */
  withMadePins<T>(action: (pins: Pins) => T): T {
    return this.withPins((found) => {
      const pins = found ?? Pins.make(this.netnsInode);
      if (this.#shared !== undefined) this.#shared.pins = pins;
      return action(pins);
    });
  }

  /**
   * What is in force now; another process may have changed it since the last look. Throws
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
          `rules of ilm decide in this network namespace, and their state is not below ${this.pinPath}: it was removed, or another BPF file system is mounted over it`,
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
      if (programs.generationOn(programs.inForce.side) === before.generation.number) {
        link.close();
        return before;
      }
    }
    this.forget();
    const programs = programsOf(pins, programId);
    const generation = programs && openInForce(pins, programs);
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
   * Undefined for what a namespace left that ended and whose inode number is used again. Else it
   * decides: throws INCOMPATIBLE.
   */
  findEarlier(pins: Pins, link: BpfLink): Earlier | undefined {
    this.earlier = Earlier.open(pins, link, this.cookie);
    if (this.earlier !== undefined) return this.earlier;
    const { netnsInode: inode, programId } = link.info();
    link.close();
    if (inode !== this.netnsInode) return undefined;
    throw unreadable(
      programId,
      `rules of ilm decide in this network namespace, and their state below ${this.pinPath} is not whole`,
    );
  }

  /**
   * Undefined also for what an earlier version made: nothing is known of what that has attached.
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

  /** Is all of it where the next command looks for it? */
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

  /** Likewise where what decides cannot be read. */
  ownReadable(): Loaded | undefined {
    return ownOf(this.look().current);
  }

  /** Like #current, for a writer: what cannot be read is as good as nothing, and is replaced. */
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

  /** In the folder of a registry; undefined when it has just been removed. */
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

/** State of a version that is newer than this one. */
export class NewerState extends IlmError {}

/**
 * `programId`: of what decides; its header tells a newer version's state from one that is not
 * whole.
 */
function unreadable(programId: number, message: string): IlmError {
  const header = readHeader(programId);
  if (header === undefined || header.format <= ILM_ABI_VERSION) {
    return new IlmError("INCOMPATIBLE", message, {
      remedy:
        "Apply the whole configuration (ilm apply -f FILE, or ilm run -f FILE): it takes over without a gap",
    });
  }
  return new NewerState(
    "INCOMPATIBLE",
    `a newer version of ilm made the rules that decide in this network namespace, and this is ${version} (state format ${ILM_ABI_VERSION}): ${describeHeader(header)}`,
    {
      remedy:
        "Use that version. To go back to this one without a gap, write down what was added at run time (`ilm mappings` of the newer version), and give this one the whole configuration: ilm apply -f FILE --over-newer, or ilm run -f FILE --over-newer",
    },
  );
}

function takeOverFirst({ format, description }: Earlier): IlmError {
  return new IlmError(
    "INCOMPATIBLE",
    `an earlier version of ilm (${printable(description.version)}, state format ${format}) made the rules in force, and only their own version can be asked this`,
    {
      remedy:
        "Any change takes them over without a gap: ilm apply -f FILE, ilm add, ilm remove, or ilm run",
    },
  );
}

/** Of a namespace: the link of ours that decides although nothing is pinned where we look. */
function findUnpinned(netnsInode: number): ReturnType<typeof skLookupLinks>[number] | undefined {
  return skLookupLinks(netnsInode).find(({ programId }) =>
    programName(programId).startsWith("ilm_lookup"),
  );
}

/** Likewise; to be closed. */
export function unpinnedLink(netnsInode: number): BpfLink | undefined {
  const found = findUnpinned(netnsInode);
  return found && linkById(found.id);
}

/** The set to which the program belongs. */
function programsOf(pins: Pins, programId: number): Programs | undefined {
  const number = pins.numberOf("programs", programId);
  return number === undefined ? undefined : Programs.open(pins, number);
}

/** The generation in force of these programs. Undefined: it is not whole. */
function openInForce(pins: Pins, programs: Programs): Generation | undefined {
  let number = programs.generationOn(programs.inForce.side);
  for (;;) {
    const generation = Generation.open(pins, number, programs);
    if (generation !== undefined) return generation;
    // Another process may just have put the next in force, and removed this one.
    const now = programs.generationOn(programs.inForce.side);
    if (now === number) return undefined;
    number = now;
  }
}

/** Undefined: it is not there, or no description of this version. */
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
  return loaded?.generation.programs.inForce.off === true;
}
