/** What this process knows of ilm in the main thread's network namespace. */
import { ILM_ABI_VERSION } from "../../abi/generated.js";
import { IlmError } from "../../errors.js";
import { type BpfLink, skLookupLinks, linkById } from "../../kernel/bpf/link.js";
import { programName } from "../../kernel/bpf/program.js";
import type { Folder } from "../../kernel/folder.js";
import { netnsInode, netnsCookie } from "../../kernel/netns.js";
import { Pins, pinPath, LOOKUP_LINK } from "../../kernel/pins.js";
import { printable } from "../../printable.js";
import { version } from "../../version.js";
import type { Description } from "../description.js";
import { Earlier } from "../earlier.js";
import { readHeader, describeHeader } from "../header.js";
import { UnreadMaps } from "../unread.js";
import { Generation, generationPins } from "./generation.js";
import { ingressIsPossible } from "./interfaces.js";
import { Programs, programPins } from "./programs.js";
import { Registry, registryPins } from "./registry.js";
import { otherSide } from "./sides.js";

/** An active generation, with what it is built on. */
export interface Loaded {
  /** Replaced when it was detached and is repaired. */
  link: BpfLink;
  readonly programId: number;
  readonly generation: Generation;
  /** That of the generation. */
  readonly description: Description;
  readonly registry: Registry;
  /**
   * The other generation, while a change waits for its confirmation: what decides again if none
   * comes; and after that, until it is settled, what decided before.
   */
  readonly beside: Generation | null;
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

/** Joins what has been found, or switched to: its programs, which `link` attaches, are pinned. */
export function loadedOf(
  link: BpfLink,
  generation: Generation,
  registry: Registry,
  beside: Generation | null,
): Loaded {
  const { description, programs } = generation;
  const programId = programs.lookup.id;
  const known = { link, programId, generation, description, registry, beside };
  return { ...known, pinned: true, isAlone: false };
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
  readonly #unread = new UnreadMaps();
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
        const loaded = this.#decidingOf(this.loaded) ?? this.loaded;
        loaded.pinned = false;
        return loaded;
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
      const deciding = this.#decidingOf(before);
      if (deciding !== null) {
        link.close();
        return deciding;
      }
    }
    this.forget();
    const programs = programsOf(pins, programId);
    const active = programs && openActive(pins, programs, this.#unread);
    if (active === undefined) {
      programs?.close();
      return this.findEarlier(pins, link);
    }
    const { generation, beside } = active;
    const registry = Registry.open(pins, generation.description.registry, this.cookie);
    if (registry === undefined) {
      generation.close();
      beside?.close();
      generation.programs.close();
      return this.findEarlier(pins, link);
    }
    this.loaded = loadedOf(link, generation, registry, beside);
    return this.loaded;
  }

  /**
   * Returns what is known, with the generation that decides now: a change may have gone back since.
   * Returns null when another process has made, confirmed or settled one.
   */
  #decidingOf(loaded: Loaded): Loaded | null {
    const { generation, beside, link, registry, pinned } = loaded;
    const { programs } = generation;
    const { side, pending } = programs.active;
    const number = programs.generationOn(side);
    if ((pending !== null) !== (beside !== null)) return null;
    if (number === generation.number) return loaded;
    if (number !== beside?.number) return null;
    this.loaded = { ...loadedOf(link, beside, registry, generation), pinned };
    return this.loaded;
  }

  /** Notes that no change waits for its confirmation any more. */
  decided(loaded: Loaded): Loaded {
    this.loaded = { ...loaded, beside: null, isAlone: false };
    loaded.beside?.close();
    return this.loaded;
  }

  /**
   * Opens an earlier version's state. Returns undefined for the remains of an ended namespace whose
   * inode number is used again. Any other state decides and cannot be read: throws INCOMPATIBLE.
   */
  findEarlier(pins: Pins, link: BpfLink): Earlier | undefined {
    this.earlier = Earlier.open(pins, link, this.cookie, this.#unread);
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
      const { generation, registry, beside } = loaded;
      const { programs } = generation;
      return (
        pins.base.has(LOOKUP_LINK) &&
        pins.hasAll("registry", registry.number, registryPins) &&
        pins.hasAll("programs", programs.number, programPins(registry.steers)) &&
        [generation, ...(beside === null ? [] : [beside])].every(({ number }) =>
          pins.hasAll("generation", number, generationPins),
        )
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
    this.loaded?.beside?.close();
    this.loaded?.generation.programs.close();
    this.loaded?.registry.close();
    this.loaded = undefined;
    this.earlier?.close();
    this.earlier = undefined;
  }

  close(): void {
    this.forget();
    this.#unread.close();
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

/**
 * Opens the active generation of these programs, and the other one of a change that waits for its
 * confirmation, if it can be read. Returns undefined when the active one is incomplete.
 */
function openActive(
  pins: Pins,
  programs: Programs,
  unread: UnreadMaps,
): Pick<Loaded, "generation" | "beside"> | undefined {
  for (;;) {
    const { side, pending } = programs.active;
    const numbers = [programs.generationOn(side), programs.generationOn(otherSide(side))] as const;
    const open = (number: number): Generation | undefined =>
      Generation.open(pins, number, programs, unread);
    const generation = open(numbers[0]);
    const beside = pending === null ? null : (open(numbers[1]) ?? null);
    // Another process may just have activated the next one and removed this one.
    const now = programs.active;
    const isSame =
      now.side === side &&
      (now.pending === null) === (pending === null) &&
      programs.generationOn(side) === numbers[0];
    if (isSame) {
      if (generation !== undefined) return { generation, beside };
      beside?.close();
      return undefined;
    }
    generation?.close();
    beside?.close();
  }
}

export function ownOf(current: Loaded | Earlier | undefined): Loaded | undefined {
  return current instanceof Earlier ? undefined : current;
}

export function isOff(loaded: Loaded | Earlier | undefined): boolean {
  if (loaded instanceof Earlier) return loaded.off;
  return loaded?.generation.programs.active.off === true;
}
