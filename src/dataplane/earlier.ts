/**
 * State that an earlier version made, back to format 4. ilm reads and shows it while it keeps
 * deciding; the next change takes it over: mappings, run-time ones included, counters, flows, and
 * whether it is off. docs/decisions/0025 says what the formats have in common, which is all that is
 * read here.
 */
import { ILM_ABI_VERSION, type Meta, countersLayout, sidesLayout } from "../abi/generated.js";
import { type BpfLink } from "../kernel/bpf/link.js";
import { type BpfMap, cpus, openMap } from "../kernel/bpf/map.js";
import type { Folder } from "../kernel/folder.js";
import type { Pins } from "../kernel/pins.js";
import type { CounterList, Counters, MappingCounters } from "../model/decision.js";
import { allMappings, readRules } from "../model/rules.js";
import { copiesOf } from "./install/programs.js";
import { type CounterTable, CopiedCounters, CountersOfEachCpu } from "./install/counters.js";
import { type Run, SummedCounters, runsOf, sumRuns, sumsAt } from "./observe/counting.js";
import type { Counted } from "./observe/shares.js";
import {
  CHUNK,
  type Description,
  type Layers,
  isUndecodable,
  unpackDescription,
} from "./description.js";
import { Registry, metaIn } from "./install/registry.js";
import { generationOn, readActive } from "./install/sides.js";
import type { UnreadMaps } from "./unread.js";

/** The oldest format whose state is read. */
const FIRST_FORMAT = 4;
/** The first format whose counters are copies in an array. */
const FIRST_WITH_COPIES = 12;

/** What the heads of all these formats have; what came later is optional. */
type EarlierDescription = Pick<
  Description,
  "generation" | "appliedAt" | "version" | "rules" | "engine" | "kfuncTrouble" | "registry"
> & {
  /**
   * Which side the overlay is on: up to format 7 the file's part says so (`room`), from 8 on
   * `side`.
   */
  readonly layers: (Layers & { readonly room?: 0 | 1 }) | null;
} & Partial<Pick<Description, "drawSeed" | "side" | "twoSided" | "programs" | "strangerPolicy">>;

interface Opened {
  readonly generation: number;
  readonly head: Uint8Array;
  /** Reads the file's mappings. */
  readonly source: () => Uint8Array;
  readonly carried: BpfMap;
  readonly counters: BpfMap;
  /**
   * The sides of the tables: set from format 8 on, where programs and tables have a folder of their
   * own.
   */
  readonly sides: BpfMap | undefined;
}

export class Earlier {
  readonly format: number;
  readonly link: BpfLink;
  readonly description: EarlierDescription;
  /** True when UDP and MPTCP are handed over at ingress. */
  readonly steers: boolean;
  readonly #opened: Opened;
  /**
   * What UDP clients dialled; this object closes the map. It is undefined when the map is
   * incomplete.
   */
  readonly flows: BpfMap | undefined;

  private constructor(
    link: BpfLink,
    opened: Opened,
    description: EarlierDescription,
    meta: Meta,
    flows: BpfMap | undefined,
  ) {
    this.link = link;
    this.format = meta.abiVersion;
    this.steers = meta.steerUdp === 1;
    this.flows = flows;
    this.description = description;
    this.#opened = opened;
  }

  /**
   * Opens an earlier version's state. Returns undefined when the pins are incomplete, are of no
   * format between the first and this one, or belong to another namespace. The returned object owns
   * the link; when the result is undefined, the caller still does.
   */
  static open(
    pins: Pins,
    link: BpfLink,
    netnsCookie: bigint,
    unread: UnreadMaps,
  ): Earlier | undefined {
    const opened = openGeneration(pins, link.info().programId, unread);
    if (opened === undefined) return undefined;
    const description = describe(opened);
    const meta = description && readMeta(pins, description.registry, netnsCookie);
    if (description === undefined || meta === undefined) {
      closeAll(opened);
      return undefined;
    }
    const flows = Registry.heritageOf(pins, netnsCookie, description.registry)("flows");
    return new Earlier(link, opened, description, meta, flows);
  }

  /** Reports whether this generation is still the active one of its programs. */
  isCurrent(): boolean {
    const { sides, generation } = this.#opened;
    return sides === undefined || activeGeneration(sides) === generation;
  }

  get off(): boolean {
    const { sides } = this.#opened;
    return sides !== undefined && readActive(sides).off;
  }

  counters(): CounterList {
    return new SummedCounters(this.counted().sums);
  }

  countersOf(indexes: readonly number[]): MappingCounters[] {
    const { carried, counters, runs } = this.#counts();
    const list = new SummedCounters(sumsAt(indexes, runs, carried, counters));
    return indexes.flatMap((_, i) => {
      const own = list.at(i);
      return own === undefined ? [] : [{ ...own, to: null }];
    });
  }

  counterTotal(): Counters {
    return this.counters().total();
  }

  counted(): Counted {
    const { carried, counters, runs } = this.#counts();
    const mappings = allMappings(readRules(this.description.rules));
    return { mappings, sums: sumRuns(runs, carried, counters), shares: null };
  }

  #counts(): { carried: BpfMap; counters: CounterTable; runs: Run[] } {
    const { rules, layers, side = 0, twoSided = false } = this.description;
    const { carried } = this.#opened;
    const counters = this.#table();
    const placed = { rules, layers, overlaid: null, side: layers?.room ?? side, twoSided };
    return { carried, counters, runs: runsOf(counters, placed) };
  }

  #table(): CounterTable {
    const { counters } = this.#opened;
    return this.format < FIRST_WITH_COPIES
      ? new CountersOfEachCpu(counters)
      : new CopiedCounters(counters, copiesOf(this.link.info().programId));
  }

  close(): void {
    this.link.close();
    this.flows?.close();
    closeAll(this.#opened);
  }
}

function closeAll({ carried, counters, sides }: Opened): void {
  for (const map of [carried, counters, sides]) map?.close();
}

/** Opens the generation of the link's program. */
function openGeneration(pins: Pins, programId: number, unread: UnreadMaps): Opened | undefined {
  const alone = pins.numberOf("generation", programId);
  const beside = alone ?? pins.numberOf("programs", programId);
  if (beside === undefined) return undefined;
  const tables = pins.folder(alone === undefined ? "programs" : "generation", beside);
  const sides = alone === undefined && tables !== undefined ? openMap(tables, "sides") : undefined;
  let folder: Folder | undefined;
  let opened: Opened | undefined;
  try {
    const isKnown = sides === undefined || sides.valueSize === sidesLayout.size;
    const generation = alone ?? (sides && isKnown ? activeGeneration(sides) : undefined);
    if (tables === undefined || generation === undefined) return undefined;
    folder = pins.folder("generation", generation);
    opened = folder && openMaps(folder, tables, generation, sides, unread);
    return opened;
  } finally {
    tables?.close();
    folder?.close();
    if (opened === undefined) sides?.close();
  }
}

/**
 * Reads a registry's metadata. Returns undefined when it is missing, of none of these formats, or
 * another namespace's.
 */
function readMeta(pins: Pins, registry: number, netnsCookie: bigint): Meta | undefined {
  const folder = pins.folder("registry", registry);
  const meta = folder && metaIn(folder, netnsCookie);
  folder?.close();
  const isKnown =
    meta !== undefined && meta.abiVersion >= FIRST_FORMAT && meta.abiVersion < ILM_ABI_VERSION;
  return isKnown ? meta : undefined;
}

function openMaps(
  folder: Folder,
  tables: Folder,
  generation: number,
  sides: BpfMap | undefined,
  unread: UnreadMaps,
): Opened | undefined {
  const head = openMap(folder, "head");
  const source = openMap(folder, "source");
  const carried = openMap(folder, "carried");
  const counters = openMap(tables, "counters");
  const isWhole =
    head?.valueSize === CHUNK &&
    source?.valueSize === CHUNK &&
    carried?.valueSize === countersLayout.size &&
    counters !== undefined &&
    [countersLayout.size, countersLayout.size * cpus()].includes(counters.valueSize);
  try {
    if (head === undefined || source === undefined) return undefined;
    if (carried === undefined || counters === undefined || !isWhole) return undefined;
    const bytes = head.readArray(head.maxEntries);
    return { generation, head: bytes, source: unread.keep(source), carried, counters, sides };
  } finally {
    head?.close();
    if (!isWhole) for (const map of [source, carried, counters]) map?.close();
  }
}

/** Reads the description. Returns undefined when the head is of none of these formats. */
function describe({ head, source, generation }: Opened): EarlierDescription | undefined {
  let description: EarlierDescription;
  try {
    description = unpackDescription(head, source);
  } catch (error) {
    if (isUndecodable(error)) return undefined;
    throw error;
  }
  return description.generation === generation ? description : undefined;
}

function activeGeneration(sides: BpfMap): number {
  return generationOn(sides, readActive(sides).side);
}
