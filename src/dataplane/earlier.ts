/**
 * State that an earlier version made, back to format 4. It is read and shown, goes on deciding, and is taken over by the next change:
 * mappings, those added at run time, counters, flows, and whether it is off. docs/decisions/0025 says what the formats have in
 * common, which is all that is read here.
 */
import {
  ILM_ABI_VERSION,
  countersLayout,
  flowKeyLayout,
  flowLayout,
  sidesLayout,
} from "../abi/generated.js";
import { type BpfLink, type BpfMap, cpus, openMap, openProgram } from "../kernel/bpf.js";
import type { Folder } from "../kernel/folder.js";
import { LOOKUP_PROGRAM, type Pins } from "../kernel/pins.js";
import type { Counters } from "../model/decision.js";
import { allMappings } from "../model/mapping.js";
import { type Counted, type Run, sumRuns, toCounters } from "./counting.js";
import {
  CHUNK,
  type Description,
  type Layers,
  isUndecodable,
  unpackDescription,
} from "./description.js";
import { firstPlace, generationOn, offsets, readInForce } from "./tables.js";

/** The oldest whose state is read. */
const FIRST_FORMAT = 4;
const zeroKey = new Uint8Array(4);

/** What the heads of all these formats have, and what came later. */
type EarlierDescription = Pick<
  Description,
  "generation" | "appliedAt" | "version" | "rules" | "engine" | "kfuncTrouble" | "registry"
> & {
  /** Up to format 7 the file's part says which room the overlay has, from 8 on the side does. */
  readonly layers: (Layers & { readonly room?: 0 | 1 }) | null;
} & Partial<Pick<Description, "drawSeed" | "side" | "twoSided" | "programs">>;

/** Offsets in the first map of every registry (`meta`): they have not changed since format 1. */
const META_FORMAT = 8;
const META_STEERS = 16;

interface Opened {
  readonly generation: number;
  readonly head: Uint8Array;
  /** Read when the file's mappings are asked for. */
  readonly source: BpfMap;
  readonly carried: BpfMap;
  readonly counters: BpfMap;
  /** From format 8 on, where programs and tables have a folder of their own. */
  readonly sides: BpfMap | undefined;
}

export class Earlier {
  readonly format: number;
  readonly link: BpfLink;
  readonly description: EarlierDescription;
  /** UDP and MPTCP are handed over at ingress. */
  readonly steers: boolean;
  readonly #opened: Opened;
  /** What UDP clients dialled, to be closed by nobody else. Undefined: it is not whole. */
  readonly flows: BpfMap | undefined;

  private constructor(
    link: BpfLink,
    opened: Opened,
    description: EarlierDescription,
    registry: OpenedRegistry,
  ) {
    this.link = link;
    this.format = registry.format;
    this.steers = registry.steers;
    this.flows = registry.flows;
    this.description = description;
    this.#opened = opened;
  }

  /**
   * Undefined: what is pinned is not whole, of no format between the first and this one, or another namespace's. The link is this
   * object's from then on, unless it is undefined.
   */
  static open(pins: Pins, link: BpfLink, netnsCookie: bigint): Earlier | undefined {
    const opened = openGeneration(pins, link.info().programId);
    if (opened === undefined) return undefined;
    const description = describe(opened);
    const registry = description && openRegistry(pins, description.registry, netnsCookie);
    if (description === undefined || registry === undefined) {
      closeAll(opened);
      return undefined;
    }
    return new Earlier(link, opened, description, registry);
  }

  /** False: the same programs have another generation in force by now. */
  isCurrent(): boolean {
    const { sides, generation } = this.#opened;
    return sides === undefined || generationInForce(sides) === generation;
  }

  get off(): boolean {
    const { sides } = this.#opened;
    return sides !== undefined && readInForce(sides).off;
  }

  counters(): Counters[] {
    return toCounters(this.counted().sums);
  }

  counted(): Counted {
    const { rules } = this.description;
    const { carried, counters } = this.#opened;
    const mappings = allMappings(rules);
    return { mappings, sums: sumRuns(this.#runs(), carried, counters) };
  }

  #runs(): Run[] {
    const { layers, rules, side = 0, twoSided = false } = this.description;
    const file = rules.file.mappings.length;
    const runtime = rules.runtime.length;
    if (layers === null) {
      const counters = firstPlace(this.#opened.counters, { side, twoSided });
      return [{ counters, carried: 0, count: file + runtime }];
    }
    const first = offsets(layers, layers.room ?? side).mappings;
    return [
      { counters: 0, carried: 0, count: file },
      { counters: first, carried: first, count: runtime },
    ];
  }

  close(): void {
    this.link.close();
    this.flows?.close();
    closeAll(this.#opened);
  }
}

function closeAll({ source, carried, counters, sides }: Opened): void {
  for (const map of [source, carried, counters, sides]) map?.close();
}

/** Of the program that the link has. */
function openGeneration(pins: Pins, programId: number): Opened | undefined {
  const beside = findFolder(pins, "generation", programId);
  if (beside !== undefined) {
    try {
      return openMaps(beside.folder, beside.folder, beside.number, undefined);
    } finally {
      beside.folder.close();
    }
  }
  const programs = findFolder(pins, "programs", programId);
  if (programs === undefined) return undefined;
  const sides = openMap(programs.folder, "sides");
  let folder: Folder | undefined;
  let opened: Opened | undefined;
  try {
    if (sides === undefined || sides.valueSize !== sidesLayout.size) return undefined;
    const generation = generationInForce(sides);
    folder = pins.folder("generation", generation);
    opened = folder && openMaps(folder, programs.folder, generation, sides);
    return opened;
  } finally {
    programs.folder.close();
    folder?.close();
    if (opened === undefined) sides?.close();
  }
}

interface OpenedRegistry {
  readonly format: number;
  readonly steers: boolean;
  readonly flows: BpfMap | undefined;
}

/** Undefined: it is not there, of none of these formats, or another namespace's. */
function openRegistry(pins: Pins, number: number, netnsCookie: bigint): OpenedRegistry | undefined {
  const folder = pins.folder("registry", number);
  if (folder === undefined) return undefined;
  try {
    const meta = openMap(folder, "meta");
    const value = meta?.lookup(zeroKey);
    meta?.close();
    if (value === undefined || value.byteLength < META_STEERS + 4) return undefined;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    const format = view.getUint32(META_FORMAT, true);
    const isKnown = format >= FIRST_FORMAT && format < ILM_ABI_VERSION;
    if (!isKnown || view.getBigUint64(0, true) !== netnsCookie) return undefined;
    const steers = view.getUint32(META_STEERS, true) === 1;
    const flows = openMap(folder, "flows");
    if (flows?.keySize === flowKeyLayout.size && flows.valueSize === flowLayout.size) {
      return { format, steers, flows };
    }
    flows?.close();
    return { format, steers, flows: undefined };
  } finally {
    folder.close();
  }
}

/** The folder in which the program is pinned, to be closed. */
function findFolder(
  pins: Pins,
  kind: "generation" | "programs",
  programId: number,
): { readonly number: number; readonly folder: Folder } | undefined {
  for (const number of pins.numbers(kind)) {
    const folder = pins.folder(kind, number);
    if (folder === undefined) continue;
    const program = openProgram(folder, LOOKUP_PROGRAM);
    const found = program?.id === programId;
    program?.close();
    if (found) return { number, folder };
    folder.close();
  }
  return undefined;
}

function openMaps(
  folder: Folder,
  tables: Folder,
  generation: number,
  sides: BpfMap | undefined,
): Opened | undefined {
  const head = openMap(folder, "head");
  const source = openMap(folder, "source");
  const carried = openMap(folder, "carried");
  const counters = openMap(tables, "counters");
  const isWhole =
    head?.valueSize === CHUNK &&
    source?.valueSize === CHUNK &&
    carried?.valueSize === countersLayout.size &&
    counters?.valueSize === countersLayout.size * cpus();
  try {
    if (head === undefined || source === undefined) return undefined;
    if (carried === undefined || counters === undefined || !isWhole) return undefined;
    const bytes = head.readArray(head.maxEntries);
    return { generation, head: bytes, source, carried, counters, sides };
  } finally {
    head?.close();
    if (!isWhole) for (const map of [source, carried, counters]) map?.close();
  }
}

/** Undefined: no head of these formats. */
function describe({ head, source, generation }: Opened): EarlierDescription | undefined {
  let description: EarlierDescription;
  try {
    description = unpackDescription(head, () => source.readArray(source.maxEntries));
  } catch (error) {
    if (isUndecodable(error)) return undefined;
    throw error;
  }
  return description.generation === generation ? description : undefined;
}

function generationInForce(sides: BpfMap): number {
  return generationOn(sides, readInForce(sides).side);
}
