/**
 * One complete rule set in the kernel: its part of a program set's tables, and its own description.
 */
import { countersLayout } from "../../abi/generated.js";
import { encode } from "../../abi/layout.js";
import type { Removed } from "../../compile/overlay.js";
import type { Compiled } from "../../compile/tables.js";
import { IlmError } from "../../errors.js";
import { type BpfMap, type PutValues, createArray, openMap } from "../../kernel/bpf/map.js";
import { interfaces } from "../../kernel/interfaces.js";
import { type Pins, stagingName } from "../../kernel/pins.js";
import type { CounterList, Counters, MappingCounters } from "../../model/decision.js";
import type { Destination } from "../../model/mapping.js";
import { type Mappings, toLazy } from "../../model/mappings.js";
import { allMappings, readRules } from "../../model/rules.js";
import { KernelBase } from "./base.js";
import {
  addCounters,
  type Run,
  SummedCounters,
  moveCounters,
  placesBefore,
  runsAbove,
  runsOf,
  sumRuns,
  sumsAt,
  totalOfRuns,
} from "../observe/counting.js";
import {
  type Counted,
  type Shares,
  addShares,
  divide,
  moveShares,
  putShares,
  sharesAt,
  sumShares,
  widthOf,
} from "../observe/shares.js";
import { SHARE_BYTES } from "./shares.js";
import {
  CHUNK,
  type Description,
  hasFileOf,
  hashNames,
  nameHash,
  packHead,
  packMappings,
  isUndecodable,
  unpackDescription,
} from "../description.js";
import type { UnreadMaps } from "../unread.js";
import { u32 } from "./batches.js";
import { mappingsAbove } from "./places.js";
import { packPorts, readBelow } from "./ports.js";
import type { Programs } from "./programs.js";
import { createTextMap, readText, writeText } from "./text.js";
import { type Side } from "./sides.js";
import {
  type Searched,
  type TablesToFill,
  capacityOf,
  fillOverlay,
  fillTables,
  type FilledOverlay,
  type PlacesOfEndpoints,
  firstPlace,
  portsOf,
  putInterfaces,
  roomForOverlays,
} from "./tables.js";

/**
 * The maps shared by generations that differ only in what lies over their tables: the file's
 * mappings (`source`), the sorted hashes of the names in the tables (`names`), what the same
 * mappings counted in earlier generations (`carried`) and how that is shared among their
 * destinations (`divided`), `ports` without an overlay (`below`), and what the control plane keeps
 * about the text of the file's part (`text`).
 */
const sharedMaps = ["source", "names", "carried", "divided", "below", "text"] as const;
type SharedMap = (typeof sharedMaps)[number];
/**
 * The shared maps about the current file. The others are about the file that the tables were filled
 * with.
 */
const ofFile: readonly SharedMap[] = ["source", "text"];
/** `head` is the generation's description of itself, with the run-time mappings. */
type DescriptiveMap = SharedMap | "head";
const descriptiveMaps: readonly DescriptiveMap[] = ["head", ...sharedMaps];

/** The names of what a generation pins in its folder. */
export const generationPins: readonly string[] = descriptiveMaps;

const noCounters: Counters = { existing: 0, selected: 0, missed: 0, errors: 0 };

/** The contents of a generation that reuses nothing of an earlier one. */
export interface Whole {
  /** The file's mappings, and the run-time ones unless those are an overlay. */
  readonly compiled: Compiled;
  readonly searched: Searched;
  readonly places: PlacesOfEndpoints;
  readonly overlay: FilledOverlay | null;
}

/**
 * Creates an array that holds these values. It has one entry when there are none, as the kernel
 * refuses empty maps.
 */
function arrayOf(name: DescriptiveMap, valueSize: number, bytes: Uint8Array): BpfMap {
  const entries = bytes.byteLength / valueSize;
  const map = createArray(name, valueSize, Math.max(1, entries));
  // Values are whole chunks or hashes, without gaps between them.
  map.writeArray(entries, ({ buffer, byteOffset, byteLength }) => {
    new Uint8Array(buffer, byteOffset, byteLength).set(bytes);
  });
  return map;
}

function targetIn(programs: Programs, side: Side): Omit<TablesToFill, "capacity"> {
  const { counters, shares, writtenPorts: written } = programs;
  return { map: programs.map.bind(programs), counters, shares, side, written };
}

function mapIn(maps: ReadonlyMap<DescriptiveMap, BpfMap>, name: DescriptiveMap): BpfMap {
  const map = maps.get(name);
  if (map === undefined) throw new IlmError("INTERNAL", `the generation has no map ${name}`);
  return map;
}

/** Returns the description, or undefined when there is none of this version. */
function readDescription(
  maps: ReadonlyMap<DescriptiveMap, BpfMap>,
  unread: UnreadMaps,
): Description | undefined {
  const head = mapIn(maps, "head");
  try {
    const source = unread.keep(mapIn(maps, "source").duplicate());
    return unpackDescription(head.readArray(head.maxEntries), source);
  } catch (error) {
    if (isUndecodable(error)) return undefined;
    throw error;
  }
}

/** What this version has counted. */
type CountedWithShares = Counted & { readonly shares: Shares };

/** Stands in for `carried` where what earlier generations counted does not matter. */
const nothingCarried = { readParts: (): void => undefined };

export class Generation {
  readonly number: number;
  readonly programs: Programs;
  /** What it says of itself; the file's mappings are read when they are asked for. */
  readonly description: Description;
  readonly #maps: ReadonlyMap<DescriptiveMap, BpfMap>;
  /** What `placesBefore` returned for the generation that this one replaces. */
  #cameFrom: Int32Array | undefined;
  /** What this generation has written to `ports`; undefined once it is active. */
  #ports: Uint32Array | undefined;
  /** The contents of `below`. */
  #below: Uint32Array | undefined;

  private constructor(
    programs: Programs,
    description: Description,
    maps: ReadonlyMap<DescriptiveMap, BpfMap>,
  ) {
    this.number = description.generation;
    this.programs = programs;
    this.description = description;
    this.#maps = maps;
  }

  /**
   * Opens a pinned generation. Returns undefined when it is missing, incomplete, or of another
   * version. `programs` is the program set that holds it; `unread` takes over its mappings.
   */
  static open(
    pins: Pins,
    number: number,
    programs: Programs,
    unread: UnreadMaps,
  ): Generation | undefined {
    const folder = pins.folder("generation", number);
    if (folder === undefined) return undefined;
    const maps = new Map<DescriptiveMap, BpfMap>();
    try {
      for (const name of descriptiveMaps) {
        const map = openMap(folder, name);
        if (map === undefined) {
          for (const opened of maps.values()) opened.close();
          return undefined;
        }
        maps.set(name, map);
      }
      const description = readDescription(maps, unread);
      if (description !== undefined) return new Generation(programs, description, maps);
      for (const map of maps.values()) map.close();
      return undefined;
    } finally {
      folder.close();
    }
  }

  /**
   * Writes a generation into tables that nothing reads, and describes it. It decides nothing until
   * its side becomes active. It shares with `before`, the active generation, what both have in
   * common.
   */
  static create(
    pins: Pins,
    programs: Programs,
    description: Description,
    { compiled, searched, places, overlay }: Whole,
    before: Generation | undefined,
  ): Generation {
    const { generation: number, side, twoSided, layers, rules } = description;
    const capacity = twoSided ? capacityOf((name) => programs.places(name)) : null;
    const target = targetIn(programs, side);
    let written = fillTables({ ...target, capacity }, compiled, searched, places, number);
    const ports = layers === null ? new Uint32Array(0) : portsOf(compiled, 0);
    if (layers !== null && overlay !== null) {
      const below = { ports, side };
      written = fillOverlay(target, overlay, layers, below, number);
    }
    const old = before?.description;
    const same = old !== undefined && hasFileOf(old, rules) ? before : undefined;
    const alike = layers === null && old?.layers === null ? before : undefined;
    const { mappings } = rules.file.read();
    const names = layers === null ? new BigUint64Array(0) : hashNames(mappings);
    const counted = Math.max(
      1,
      compiled.mappings.length + roomForOverlays(layers !== null).mappings,
    );
    const maps = new Map<DescriptiveMap, BpfMap>();
    try {
      const source = (): BpfMap => arrayOf("source", CHUNK, packMappings(mappings));
      const below = (): BpfMap => arrayOf("below", CHUNK, packPorts(ports));
      const hashes = (): BpfMap =>
        arrayOf("names", 8, new Uint8Array(names.buffer, names.byteOffset, names.byteLength));
      maps.set("source", Generation.#shared(same, "source") ?? source());
      maps.set("names", Generation.#shared(alike, "names") ?? hashes());
      maps.set("carried", createArray("carried", countersLayout.size, counted));
      const width = widthOf(programs.shares);
      maps.set("divided", createArray("divided", width * SHARE_BYTES, counted));
      maps.set("below", Generation.#shared(alike, "below") ?? below());
      maps.set("text", Generation.#shared(same, "text") ?? createTextMap(mappings.length));
      const generation = Generation.#publish(pins, programs, description, maps);
      generation.#ports = written;
      return generation;
    } catch (error) {
      for (const map of maps.values()) map.close();
      throw error;
    }
  }

  static #shared(generation: Generation | undefined, name: SharedMap): BpfMap | undefined {
    return generation === undefined ? undefined : generation.#map(name).duplicate();
  }

  /**
   * Writes a generation over the tables of `below`, which do not change, and describes it. It
   * decides nothing until its side becomes active.
   */
  static createOver(
    below: Generation,
    pins: Pins,
    description: Description,
    overlay: FilledOverlay | null,
  ): Generation {
    const { generation: number, side, layers } = description;
    if (layers === null) throw new IlmError("INTERNAL", "there are no layers");
    const under = { ports: below.#portsBelow(), side: below.description.side };
    const { programs } = below;
    const target = targetIn(programs, side);
    const written = fillOverlay(target, overlay, layers, under, number);
    const hasFile = hasFileOf(below.description, description.rules);
    const maps = new Map<DescriptiveMap, BpfMap>();
    try {
      for (const name of sharedMaps) {
        if (hasFile || !ofFile.includes(name)) maps.set(name, below.#map(name).duplicate());
      }
      if (!hasFile) {
        const { mappings } = description.rules.file.read();
        maps.set("source", arrayOf("source", CHUNK, packMappings(mappings)));
        maps.set("text", createTextMap(mappings.length));
      }
      const generation = Generation.#publish(pins, programs, description, maps);
      generation.#ports = written;
      generation.#below = under.ports;
      return generation;
    } catch (error) {
      for (const map of maps.values()) map.close();
      throw error;
    }
  }

  static #publish(
    pins: Pins,
    programs: Programs,
    description: Description,
    maps: Map<DescriptiveMap, BpfMap>,
  ): Generation {
    maps.set("head", arrayOf("head", CHUNK, packHead(description)));
    const staging = pins.stage("generation");
    try {
      for (const [name, map] of maps) map.pin(staging, name);
      pins.publish("generation", description.generation);
    } catch (error) {
      pins.base.remove(stagingName("generation"));
      throw error;
    } finally {
      staging.close();
    }
    return new Generation(programs, description, maps);
  }

  #map(name: DescriptiveMap): BpfMap {
    return mapIn(this.#maps, name);
  }

  /** Reads the file's mappings, as `packMappings` packed them. */
  packedMappings(): Uint8Array {
    const map = this.#map("source");
    return map.readArray(map.maxEntries);
  }

  /** Returns what is kept about the text that the file's part was read from. */
  text(): string | null {
    return readText(this.#map("text"));
  }

  keepText(text: string): void {
    writeText(this.#map("text"), text);
  }

  /** Notes that this generation is active and that no program reads the previous one. */
  settle(): void {
    const { writtenPorts } = this.programs;
    const { side } = this.description;
    if (this.#ports !== undefined) writtenPorts.put(side, this.number, this.#ports);
    this.#ports = undefined;
  }

  #portsBelow(): Uint32Array {
    return (this.#below ??= readBelow(this.#map("below")));
  }

  /** Returns the tables as the base of an overlay, or null when overlays cannot lie on them. */
  base(): KernelBase | null {
    if (this.description.layers === null) return null;
    return new KernelBase(
      (name) => this.programs.map(name),
      () => this.#portsBelow(),
    );
  }

  /**
   * Reports whether a mapping of the tables may have the name, by binary search. True can be wrong,
   * false never is.
   */
  hasName(key: string): boolean {
    const map = this.#map("names");
    const wanted = nameHash(key);
    let low = 0;
    let high = this.description.layers?.mappings ?? 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const value = map.lookup(encode(u32, middle));
      const found = value === undefined ? 0n : new DataView(value.buffer).getBigUint64(0, true);
      if (found === wanted) return true;
      if (found < wanted) low = middle + 1;
      else high = middle;
    }
    return false;
  }

  /**
   * Gives each interface that a mapping names its current index. Returns the names of those that do
   * not exist.
   */
  resolveInterfaces(): string[] {
    const { interfaces: names } = this.description;
    if (names.length <= 1) return [];
    const present = interfaces();
    const map = this.programs.map("interfaces");
    putInterfaces(map, names, present, firstPlace(map, this.description));
    const known = new Set(present.values());
    return names.slice(1).filter((name) => !known.has(name));
  }

  /**
   * Returns the counters of each mapping: what it counted in this generation and before, and in
   * `back`, which went back. Returns undefined when the generation is no longer active, as others
   * may have counted there.
   */
  counters(back: Generation | null = null): CounterList | undefined {
    const { sums } = back === null ? this.counted() : this.#countedWith(back);
    if (this.programs.generationOn(this.description.side) !== this.number) return undefined;
    return new SummedCounters(sums);
  }

  /**
   * Returns the counters of the mappings with these indexes, or undefined when the generation is no
   * longer active. An index that no longer exists counts 0, as others may change the rules
   * meanwhile.
   */
  countersOf(indexes: readonly number[], back: Generation | null): MappingCounters[] | undefined {
    const runs = this.#runs();
    const { counters, shares: table } = this.programs;
    const mappings = toLazy(allMappings(readRules(this.description.rules)));
    const toAt = (index: number): readonly Destination[] =>
      index < mappings.length ? mappings.toAt(index) : [];
    if (back !== null) {
      const { sums, shares } = this.#countedWith(back);
      if (this.programs.generationOn(this.description.side) !== this.number) return undefined;
      const all = new SummedCounters(sums);
      return indexes.map((index) => {
        const own = all.at(index) ?? noCounters;
        return { ...own, to: divide(toAt(index), shares, index, own.selected) };
      });
    }
    // What the destinations got comes first: what is counted meanwhile is the first one's.
    const divided = this.#map("divided");
    const shares = sharesAt(indexes, runs, divided, table, (index) => toAt(index).length);
    const sums = sumsAt(indexes, runs, this.#map("carried"), counters);
    if (this.programs.generationOn(this.description.side) !== this.number) return undefined;
    const list = new SummedCounters(sums);
    return indexes.map((index, i) => {
      const own = list.at(i) ?? noCounters;
      return { ...own, to: divide(toAt(index), shares, i, own.selected) };
    });
  }

  /** Returns the sum of all counters, or undefined when the generation is no longer active. */
  counterTotal(back: Generation | null): Counters | undefined {
    if (back !== null) return this.counters(back)?.total();
    const total = totalOfRuns(this.#runs(), this.#map("carried"), this.programs.counters);
    return this.programs.generationOn(this.description.side) === this.number ? total : undefined;
  }

  /** Returns what all mappings have counted. */
  counted(): Counted {
    return this.#counted(allMappings(readRules(this.description.rules)), this.#runs());
  }

  #counted(mappings: Mappings, runs: readonly Run[]): CountedWithShares {
    const shares = sumShares(runs, this.#map("divided"), this.programs.shares);
    const { counters } = this.programs;
    return { mappings, shares, sums: sumRuns(runs, this.#map("carried"), counters) };
  }

  /**
   * Returns what the overlay's mappings have counted, and those mappings of the tables that are
   * `gone` from the next generation's file.
   */
  countedAbove(gone: readonly Removed[]): Counted {
    const above = mappingsAbove(this.description);
    const mappings = [...above, ...gone.map(({ mapping }) => mapping)];
    return this.#counted(mappings, runsAbove(this.description, gone));
  }

  #runs(): Run[] {
    return runsOf(this.programs.counters, this.description);
  }

  /**
   * Takes over the counters of mappings that stay. Call it before the switch, and again afterwards
   * for what was counted meanwhile.
   */
  carry(counted: Counted): void {
    this.#carry(counted, allMappings(readRules(this.description.rules)), this.#runs());
  }

  /** Takes over the counters of the overlay's mappings only: the others stay in the same tables. */
  carryAbove(counted: Counted): void {
    const { description } = this;
    this.#carry(counted, mappingsAbove(description), runsAbove(description, []));
  }

  #carry(counted: Counted, after: Mappings, runs: readonly Run[]): void {
    const { mappings: before, sums } = counted;
    this.#cameFrom ??= placesBefore(before, after);
    const cameFrom = this.#cameFrom;
    const shares = moveShares(counted, after, cameFrom, widthOf(this.programs.shares));
    let done = 0;
    for (const { carried, count } of runs) {
      const start = done;
      const put: PutValues = ({ buffer, byteOffset, byteLength }) => {
        const into = new Uint8Array(buffer, byteOffset, byteLength);
        moveCounters(sums, cameFrom.subarray(start, start + count), into);
      };
      this.#map("carried").writeArray(count, put, carried);
      this.#map("divided").writeArray(count, putShares(shares, start, count), carried);
      done += count;
    }
  }

  /**
   * Takes over what its mappings have counted in `other`, which came after this generation, went
   * back, and counts no more. A writer that is killed in between leaves it counted twice.
   */
  takeCounts(other: Generation): void {
    const { places, sums, shares } = this.#countedIn(other);
    const [carried, divided] = [this.#map("carried"), this.#map("divided")];
    const { size } = countersLayout;
    let index = 0;
    for (const run of this.#runs()) {
      for (let at = 0; at < run.count; at++, index++) {
        const place = places[index] ?? -1;
        const counted = sums.subarray(place * size, (place + 1) * size);
        if (place < 0 || counted.every((byte) => byte === 0)) continue;
        const key = encode(u32, run.carried + at);
        const [sum, own] = [carried.lookup(key), divided.lookup(key)];
        if (sum === undefined || own === undefined) {
          throw new IlmError("INTERNAL", "an array without its entry");
        }
        addCounters(sum, counted, 1);
        addShares(own, shares, index);
        carried.update(key, sum);
        divided.update(key, own);
      }
    }
    for (const { counters, count } of other.#runsAlone()) {
      this.programs.counters.clear(counters, count);
      this.programs.shares.clear(counters, count);
    }
  }

  /**
   * Returns what all mappings have counted, with what they have counted in `back`, which went back.
   */
  #countedWith(back: Generation): CountedWithShares {
    const whole = this.#counted(allMappings(readRules(this.description.rules)), this.#runs());
    const { places, sums, shares } = this.#countedIn(back);
    const { size } = countersLayout;
    places.forEach((place, index) => {
      if (place < 0) return;
      const sum = whole.sums.subarray(index * size, (index + 1) * size);
      addCounters(sum, sums.subarray(place * size, (place + 1) * size), 1);
    });
    shares.values.forEach((value, at) => {
      whole.shares.values[at] = (whole.shares.values[at] ?? 0) + value;
    });
    return whole;
  }

  /**
   * Returns what its mappings have counted in `other` alone: where each was there, its counters by
   * that place, and its shares.
   */
  #countedIn(other: Generation): { places: Int32Array; sums: Uint8Array; shares: Shares } {
    const counted = other.#countedAlone();
    const own = allMappings(readRules(this.description.rules));
    const places = placesBefore(counted.mappings, own);
    const shares = moveShares(counted, own, places, widthOf(this.programs.shares));
    return { places, sums: counted.sums, shares };
  }

  /** The counters of the mappings that this generation has alone: all, or those of its overlay. */
  #runsAlone(): Run[] {
    const { description } = this;
    return description.layers === null ? this.#runs() : runsAbove(description, []);
  }

  /** Returns what its mappings have counted since it became active. */
  #countedAlone(): Counted {
    const { description, programs } = this;
    const runs = this.#runsAlone();
    const mappings =
      description.layers === null
        ? allMappings(readRules(description.rules))
        : mappingsAbove(description);
    return {
      mappings,
      shares: sumShares(runs, nothingCarried, programs.shares),
      sums: sumRuns(runs, nothingCarried, programs.counters),
    };
  }

  /**
   * For each mapping in the last `carry` or `carryAbove`, its index among the previous ones, or -1
   * when it is new.
   */
  get cameFrom(): Int32Array | undefined {
    return this.#cameFrom;
  }

  /** Closes the generation's maps, but not the programs, which other generations may use. */
  close(): void {
    for (const map of this.#maps.values()) map.close();
  }
}
