/**
 * Writes compiled rules into the maps of a program set, in chunks: a million entries are never in
 * memory twice.
 */
import {
  ILM_CLASS_ASKS,
  ILM_CLASS_EXACT,
  ILM_CLASS_MASK,
  ILM_CLASS_OVERLAY,
  ILM_CLASS_PREFIX,
  ILM_DRAINED,
  ILM_OWNED_WORDS,
  ILM_PORT_KEYS,
  ILM_SIDES,
  MatchedCode,
  type PrefixKey,
  classLayout,
  destinationLayout,
  exactKeyLayout,
  exactTargetLayout,
  lengthLayout,
  overlayClassLayout,
  prefixKeyLayout,
  prefixTargetLayout,
  ruleLayout,
  stepLayout,
} from "../../abi/generated.js";
import { encode, type Layout } from "../../abi/layout.js";
import { type Search, maskOf, searchByLength } from "../../compile/lengths.js";
import {
  type BaseClass,
  OVERLAY_CLASSES_MAX,
  OVERLAY_ENTRIES,
  type Overlay,
  type OverlayClass,
} from "../../compile/overlay.js";
import {
  type Compiled,
  type MatchedLevel,
  type PrefixBits,
  type PrefixTable,
  bitsAt,
  matchedLevels,
} from "../../compile/tables.js";
import { beginStep } from "../../progress.js";
import type { CopiedCounters } from "./counters.js";
import { type CopiedShares, tellsApart } from "./shares.js";
import type { Layers } from "../description.js";
import type { PermitNumbers } from "./permits.js";
import { putArray, putEntries, u32 } from "./batches.js";
import { addressHash } from "./hash.js";
import { type WrittenPorts, portKey, putPorts } from "./ports.js";
import { PrefixSlots, classFamily, ofMappings, slotsOf } from "./prefixes.js";
import { shapesOf } from "./shapes.js";
import { type Side, describeSide, generationOn, readSide } from "./sides.js";
import { OverlayTargets, TableTargets, type Targets } from "./targets.js";
import { IlmError } from "../../errors.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import { addressBytes } from "../../model/address.js";

/** Whole addresses and prefixes of compiled rules, arranged for the search. */
export interface Searched {
  readonly search: Search;
  readonly prefixes: PrefixSlots;
}

/** Arranges the addresses. `firstClass` is added to the numbers of all classes. */
export function searched({ exact, prefixes, classes }: Compiled, firstClass: number): Searched {
  beginStep("arranging the addresses");
  const search = searchByLength(prefixes, classes.length);
  const tables = [ofMappings(exact), ofMappings(prefixes), search.markers];
  return { search, prefixes: new PrefixSlots(tables, firstClass) };
}

/** The tables whose size depends on the rules, per side. */
export const resized = [
  "classes",
  "prefixes",
  "lengths",
  "sources",
  "steps",
  "interfaces",
  "owned",
  "rules",
  "destinations",
  "counters",
] as const;
type Resized = (typeof resized)[number];
/** The number of entries of each table, for one generation. */
export type Sizes = Readonly<Record<Resized, number>>;

export function tableSizes(compiled: Compiled, { search, prefixes }: Searched): Sizes {
  return {
    classes: compiled.classes.length + 1,
    prefixes: prefixes.size,
    lengths: search.lengths.count,
    sources: compiled.sources.count,
    steps: compiled.steps.count,
    interfaces: compiled.interfaces.length,
    owned: compiled.owned.length,
    rules: shapesOf(compiled).count,
    destinations: compiled.destinations.count,
    counters: compiled.mappings.length,
  };
}

function sizesOf(size: (name: Resized) => number): Sizes {
  return Object.fromEntries(resized.map((name) => [name, size(name)])) as Record<Resized, number>;
}

export function fitsIn(sizes: Sizes, capacity: Sizes): boolean {
  return resized.every((name) => sizes[name] <= capacity[name]);
}

export function largerOf(sizes: Sizes, others: Sizes): Sizes {
  return sizesOf((name) => Math.max(sizes[name], others[name]));
}

/** The least size of each table, per side. */
const SIDE_AT_LEAST = 256;

/**
 * Returns the table sizes of one side, rounded up so that the next changes fit in and larger
 * tables, with a new program set, are needed for each doubling only.
 */
export function sideFor(sizes: Sizes): Sizes {
  return sizesOf((name) => 2 ** Math.ceil(Math.log2(Math.max(SIDE_AT_LEAST, sizes[name]))));
}

export const overlayTables = ["overlay_classes", "overlay_exact", "overlay_prefixes"] as const;
type OverlayTable = (typeof overlayTables)[number];
/** The number of entries of the maps that hold the tables; for `counters`, of each copy. */
export type MapSizes = Sizes & Readonly<Record<OverlayTable, number>>;

const noOverlay = { overlay_classes: 1, overlay_exact: 1, overlay_prefixes: 1 } as const;

/** Returns the sizes of maps with two sides. `capacity` is that of one side. */
export function twoSided(capacity: Sizes): MapSizes {
  return { ...sizesOf((name) => ILM_SIDES * capacity[name]), ...noOverlay };
}

/**
 * Returns what one side of the tables holds. `places` returns the number of entries of each table.
 */
export function capacityOf(places: (name: Resized) => number): Sizes {
  return sizesOf((name) => places(name) / ILM_SIDES);
}

/**
 * Returns the sizes of maps with one part for the file's mappings and, if `layered`, two sides for
 * overlays.
 */
export function oneSided(sizes: Sizes, layered: boolean): MapSizes {
  // The kernel refuses maps without entries.
  const some = sizesOf((name) => Math.max(1, sizes[name]));
  if (!layered) return { ...some, ...noOverlay };
  const room = roomForOverlays(layered);
  return {
    ...some,
    rules: sizes.rules + room.rules,
    destinations: sizes.destinations + room.destinations,
    counters: sizes.counters + room.mappings,
    overlay_classes: ILM_SIDES * OVERLAY_CLASSES,
    overlay_exact: ILM_SIDES * OVERLAY_ENTRIES,
    overlay_prefixes: ILM_SIDES * OVERLAY_ENTRIES,
  };
}

export interface Room {
  readonly mappings: number;
  readonly rules: number;
  readonly destinations: number;
}

/** The room of one overlay. Run-time mappings beyond it are compiled with the file's. */
const overlayRoom: Room = { mappings: 1024, rules: 8192, destinations: 16_384 };
/** Returns the number of entries behind those of the file's mappings, for both sides together. */
export function roomForOverlays(layered: boolean): Room {
  const sides = layered ? ILM_SIDES : 0;
  return {
    mappings: sides * overlayRoom.mappings,
    rules: sides * overlayRoom.rules,
    destinations: sides * overlayRoom.destinations,
  };
}

/** The number of overlay classes per side, including [0]. */
const OVERLAY_CLASSES = OVERLAY_CLASSES_MAX + 1;
/** Smaller tables are refilled in the time that a command takes to start. */
const LAYERED_FROM = 10_000;

/** Reports whether run-time mappings should be an overlay over a file with this many mappings. */
export function isLayered(mappings: number, layeredFrom: number = LAYERED_FROM): boolean {
  return mappings >= layeredFrom;
}

/** Returns where the parts of an overlay begin in the tables that it shares. */
export function offsets({ mappings, rules, destinations }: Layers, side: Side): Room {
  return {
    mappings: mappings + side * overlayRoom.mappings,
    rules: rules + side * overlayRoom.rules,
    destinations: destinations + side * overlayRoom.destinations,
  };
}

/**
 * Returns the place of the mapping that uses this counter: the overlays of both sides share the
 * places behind the file's.
 */
export function placeOfCounter(layers: Layers | null, counter: number): number {
  if (layers === null || counter < layers.mappings) return counter;
  return layers.mappings + ((counter - layers.mappings) % overlayRoom.mappings);
}

/** Returns the counters that the mapping at a place may have: an overlay is on either side. */
export function countersOfPlace(layers: Layers | null, place: number): readonly number[] {
  if (layers === null || place < layers.mappings) return [place];
  return [place, place + overlayRoom.mappings];
}

/** `shares` is the number of destinations that the tables tell apart besides the first. */
export function fitsRoom({ compiled }: Overlay, shares: number): boolean {
  return (
    tellsApart(compiled.destinations, shares) &&
    compiled.mappings.length <= overlayRoom.mappings &&
    shapesOf(compiled).count - 1 <= overlayRoom.rules &&
    compiled.destinations.count <= overlayRoom.destinations
  );
}

const matchedCodes: Readonly<Record<MatchedLevel, number>> = {
  default: MatchedCode.DEFAULT,
  exact: MatchedCode.EXACT,
  prefix: MatchedCode.PREFIX,
};

function addressAt(table: { readonly address: Uint8Array }, index: number): Uint8Array {
  return table.address.subarray(index * 16, index * 16 + 16);
}

/**
 * Swaps bytes. A trie compares them from the first on: network byte order, read back as a host
 * number.
 */
function swap(value: number): number {
  return (
    (((value & 0xff) << 24) |
      ((value & 0xff00) << 8) |
      ((value >>> 8) & 0xff00) |
      (value >>> 24)) >>>
    0
  );
}

function prefixKeys(
  table: PrefixTable,
  firstOwner: number,
): [Layout<PrefixKey>, (index: number) => PrefixKey] {
  return [prefixKeyLayout, (i) => prefixKey(firstOwner + (table.owner[i] ?? 0), bitsAt(table, i))];
}

/** `owner` is a class or a group. */
function prefixKey(owner: number, { ipv6, address, length }: PrefixBits): PrefixKey {
  return { length: 32 + length, classFamily: swap(classFamily(owner, ipv6)), address };
}

/**
 * Removes the entries of a hash or trie whose owner is one of `count` from `first` on: what the
 * side held before.
 */
function removeOwners(
  map: BpfMap,
  owner: (key: DataView) => number,
  first: number,
  count: number,
): void {
  const stale: Uint8Array[] = [];
  for (let key = map.nextKey(null); key !== undefined; key = map.nextKey(key)) {
    const whose = owner(new DataView(key.buffer, key.byteOffset, key.byteLength));
    if (whose >= first && whose < first + count) stale.push(key);
  }
  for (const key of stale) map.delete(key);
}

/** Returns the class or group in a key of `prefixKeyLayout`. */
const ownerOfPrefix = (key: DataView): number => key.getUint32(4, false) >>> 1;
/** Returns the class in a key of `exactKeyLayout`. */
const ownerOfExact = (key: DataView): number => key.getUint32(0, true);

function putPrefixes(
  map: BpfMap,
  { prefixes, levels }: Overlay,
  firstOwner: number,
  targets: Targets,
): void {
  const { count, length, target } = prefixes;
  putEntries(map, count, prefixKeys(prefixes, firstOwner), [
    prefixTargetLayout,
    (i) => ({
      rule: targets.value(target[i] ?? 0),
      counter: targets.counter(target[i] ?? 0),
      length: length[i] ?? 0,
      matched: matchedCodes[levels[i] ?? "prefix"],
    }),
  ]);
}

/** Moves an index to its side, except [0], which ends a list and belongs to no side. */
function placed(index: number, first: number): number {
  return index === 0 ? 0 : first + index;
}

function putLengths(map: BpfMap, { lengths }: Search, first: number): void {
  putArray(
    map,
    lengths.count,
    lengthLayout,
    (i) => {
      const length = lengths.length[i] ?? 0;
      return {
        mask: maskOf(length),
        length,
        shorter: placed(lengths.shorter[i] ?? 0, first),
        longer: placed(lengths.longer[i] ?? 0, first),
      };
    },
    first,
  );
}

/** Puts the sources, which lead to steps. */
function putSources(map: BpfMap, table: PrefixTable, first: number, targets: Targets): void {
  putEntries(map, table.count, prefixKeys(table, first), [
    u32,
    (i) => targets.value(table.target[i] ?? 0),
  ]);
}

function putExact(map: BpfMap, exact: PrefixTable, firstOwner: number, targets: Targets): void {
  putEntries(
    map,
    exact.count,
    [
      exactKeyLayout,
      (i) => ({ classId: firstOwner + (exact.owner[i] ?? 0), address: addressAt(exact, i) }),
    ],
    [
      exactTargetLayout,
      (i) => {
        const target = exact.target[i] ?? 0;
        return { rule: targets.value(target), counter: targets.counter(target) };
      },
    ],
  );
}

/** Where the entries of a generation begin in the tables; one later in those where 0 means none. */
type Offsets = Omit<Sizes, "owned">;

function placeOn(side: Side, capacity: Sizes): Offsets {
  return sizesOf((name) => side * capacity[name]);
}

/** Puts all rules but [0], which is none. */
function putRules(
  map: BpfMap,
  compiled: Compiled,
  place: Pick<Offsets, "rules" | "destinations">,
  numbers: PermitNumbers,
): void {
  const shapes = shapesOf(compiled);
  const permits = compiled.permits.map((permit) => numbers.ofMappings(permit));
  putArray(
    map,
    shapes.count - 1,
    ruleLayout,
    (n) => shapes.at(n + 1, place.destinations, permits),
    place.rules + 1,
  );
}

function putDestinations(
  map: BpfMap,
  { destinations, endpoints }: Compiled,
  { slots, permits }: PlacesOfEndpoints,
  first: number,
): void {
  const numbers = endpoints.map(({ permit }) => permits.of(permit));
  putArray(
    map,
    destinations.count,
    destinationLayout,
    (i) => {
      const slot = slots[destinations.endpoint[i] ?? 0];
      if (slot === undefined) throw new IlmError("INTERNAL", `destination ${i} has no place`);
      return {
        address: addressAt(destinations, i),
        slot,
        port: destinations.port[i] ?? 0,
        weight: (destinations.weight[i] ?? 0) | (destinations.drained[i] === 1 ? ILM_DRAINED : 0),
        permit: numbers[destinations.endpoint[i] ?? 0] ?? 0,
        share: destinations.share[i] ?? 0,
      };
    },
    first,
  );
}

function putSteps(map: BpfMap, { steps }: Compiled, place: Offsets, targets: Targets): void {
  putArray(
    map,
    steps.count,
    stepLayout,
    (i) => {
      const level = matchedLevels[steps.matched[i] ?? 0] ?? "default";
      return {
        rule: targets.value(steps.rule[i] ?? 0),
        counter: targets.counter(steps.rule[i] ?? 0),
        next: placed(steps.next[i] ?? 0, place.steps),
        group: placed(steps.group[i] ?? 0, place.sources),
        interface: placed(steps.interface[i] ?? 0, place.interfaces),
        untilS: steps.until[i] ?? 0,
        matched: matchedCodes[level],
      };
    },
    place.steps,
  );
}

/** Returns the value of a class in `ports`. */
function classValue(number: number, flags: Omit<BaseClass, "number">): number {
  return (
    number +
    (flags.hasExact ? ILM_CLASS_EXACT : 0) +
    (flags.hasPrefix ? ILM_CLASS_PREFIX : 0) +
    (flags.asks ? ILM_CLASS_ASKS : 0)
  );
}

export function readClassValue(value: number): BaseClass | undefined {
  if (value === 0) return undefined;
  // JavaScript's bit operators return signed numbers.
  const has = (flag: number): boolean => (value & flag) !== 0;
  return {
    number: value & ILM_CLASS_MASK,
    hasExact: has(ILM_CLASS_EXACT),
    hasPrefix: has(ILM_CLASS_PREFIX),
    asks: has(ILM_CLASS_ASKS),
  };
}

/**
 * Returns the contents of `ports`. `firstClass` is where the side's classes begin; `values` are
 * zeros, which become the result.
 */
export function portsOf(
  { classes }: Compiled,
  firstClass: number,
  values: Uint32Array = new Uint32Array(ILM_PORT_KEYS),
): Uint32Array {
  classes.forEach((entry, index) => {
    const value = classValue(firstClass + index + 1, entry);
    for (const { first, last } of entry.ranges) {
      values.fill(value, portKey(entry.protocol, first), portKey(entry.protocol, last) + 1);
    }
  });
  return values;
}

/** Puts the addresses of some sides, and leaves those of other sides. */
function putOwned(map: BpfMap, on: readonly Side[], addresses: readonly Uint8Array[]): void {
  const bits = on.reduce<number>((sum, side) => sum + (1 << side), 0);
  const wanted = new Set(addresses.map((address) => Buffer.from(address).toString("hex")));
  for (const [key, value] of map.snapshot()) {
    const sides = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
    const stays = wanted.delete(Buffer.from(key).toString("hex"));
    const after = stays ? sides | bits : sides & ~bits;
    if (after === 0) map.delete(key);
    else if (after !== sides) map.update(key, encode(u32, after));
  }
  const keys = Buffer.concat([...wanted].map((address) => Buffer.from(address, "hex")));
  map.updateAll(keys, new Uint8Array(new Uint32Array(wanted.size).fill(bits).buffer));
}

function ownedFilter(addresses: readonly Uint8Array[]): Uint8Array {
  const filter = new BigUint64Array(ILM_OWNED_WORDS);
  for (const address of addresses) {
    const bit = addressHash(address) % (ILM_OWNED_WORDS * 64);
    const word = Math.floor(bit / 64);
    filter[word] = (filter[word] ?? 0n) | (1n << BigInt(bit % 64));
  }
  return new Uint8Array(filter.buffer);
}

/** Returns a map of a program set by its name in bpf/tables.h. */
export type TableMap = (name: Resized | "sides" | "ports" | OverlayTable) => BpfMap;

function fill(map: TableMap, name: Parameters<TableMap>[0], put: (map: BpfMap) => void): void {
  beginStep(`filling the table ${name}`, "filling the tables");
  put(map(name));
}

/** Where the registry keeps the sockets of endpoints, and whose. */
export interface PlacesOfEndpoints {
  /** The index into `primary` of each compiled endpoint. */
  readonly slots: readonly number[];
  readonly permits: PermitNumbers;
}

/** An overlay and the places of its endpoints. */
export interface FilledOverlay {
  readonly overlay: LaidOverlay;
  readonly places: PlacesOfEndpoints;
}

/** Where the tables of a generation go. */
export interface TablesToFill {
  readonly map: TableMap;
  readonly counters: Pick<CopiedCounters, "clear">;
  readonly shares: Pick<CopiedShares, "clear">;
  readonly side: Side;
  /** The capacity of each side; null when there is one part, from 0 on. */
  readonly capacity: Sizes | null;
  readonly written: WrittenPorts;
}

/**
 * Fills tables that nothing reads, even if they hold previously active rules. `number` is the
 * generation's. Returns the new contents of `ports`.
 */
export function fillTables(
  { map, counters, shares, side, capacity, written }: TablesToFill,
  compiled: Compiled,
  { search, prefixes }: Searched,
  places: PlacesOfEndpoints,
  number: number,
): Uint32Array {
  const { classes, owned } = compiled;
  const nothing = sizesOf(() => 0);
  const place = placeOn(side, capacity ?? nothing);
  const targets = new TableTargets(compiled, place);
  const addresses = owned.map((address) => addressBytes(address));
  fill(map, "rules", (rules) => {
    putRules(rules, compiled, place, places.permits);
  });
  fill(map, "destinations", (destinations) => {
    putDestinations(destinations, compiled, places, place.destinations);
  });
  fill(map, "classes", (target) => {
    putArray(
      target,
      classes.length + 1,
      classLayout,
      (i) => {
        const fallback = classes[i - 1]?.fallback ?? { 4: 0, 6: 0 };
        return {
          rule4: targets.value(fallback[4]),
          rule6: targets.value(fallback[6]),
          counter4: targets.counter(fallback[4]),
          counter6: targets.counter(fallback[6]),
          lengths4: placed(search.roots[4][i] ?? 0, place.lengths),
          lengths6: placed(search.roots[6][i] ?? 0, place.lengths),
        };
      },
      place.classes,
    );
  });
  fill(map, "prefixes", (target) => {
    prefixes.put(target, place.prefixes, targets, capacity !== null);
  });
  fill(map, "lengths", (target) => {
    putLengths(target, search, place.lengths);
  });
  fill(map, "sources", (target) => {
    // Numbers of groups begin with 1, and there are no more groups than entries.
    if (capacity !== null) {
      removeOwners(target, ownerOfPrefix, place.sources + 1, capacity.sources);
    }
    putSources(target, compiled.sources, place.sources, targets);
  });
  fill(map, "steps", (target) => {
    putSteps(target, compiled, place, targets);
  });
  fill(map, "owned", (target) => {
    // A single part serves both sides.
    putOwned(target, capacity === null ? [0, 1] : [side], addresses);
  });
  fill(map, "counters", () => {
    if (capacity === null) return;
    counters.clear(place.counters, compiled.mappings.length);
    shares.clear(place.counters, compiled.mappings.length);
  });
  const there = written.take(side, generationOn(map("sides"), side));
  describeSide(map("sides"), side, {
    ownedFilter: ownedFilter(addresses),
    number,
    prefixes: place.prefixes,
    prefixSlots: slotsOf(prefixes.size),
    counters: place.counters,
  });
  const ports = portsOf(compiled, place.classes, written.blank());
  fill(map, "ports", (target) => {
    putPorts(target, side, ports, there);
  });
  written.giveBack(there);
  return ports;
}

/** An overlay, and what its targets below `OVERLAY_RULES` stand for: rules of the tables below. */
export interface LaidOverlay extends Overlay {
  readonly below: Targets;
}

/**
 * What an overlay lies on: the contents of `ports` without one, and a side that describes the
 * tables.
 */
interface Below {
  readonly ports: Uint32Array;
  readonly side: Side;
}

/** The overlay's class [0]. */
const noClass: Pick<OverlayClass, "below" | "fallback"> = {
  below: undefined,
  fallback: { 4: 0, 6: 0 },
};

/**
 * Lays an overlay over tables that may be active, on the side that nothing reads. `overlay` is null
 * when nothing lies over the tables, but may later. `number` is the generation's. Returns the new
 * contents of `ports`.
 */
export function fillOverlay(
  { map, counters, shares, side, written }: Omit<TablesToFill, "capacity">,
  filled: FilledOverlay | null,
  layers: Layers,
  below: Below,
  number: number,
): Uint32Array {
  const values = written.blank();
  values.set(below.ports);
  if (filled !== null) {
    const { overlay, places } = filled;
    const { compiled, classes } = overlay;
    const { mappings, rules, destinations } = offsets(layers, side);
    const firstClass = side * OVERLAY_CLASSES;
    const place = { rules: rules - 1, destinations, counters: mappings };
    const own = new TableTargets(compiled, { ...place, steps: 0 });
    const targets = new OverlayTargets(own, overlay.below);
    fill(map, "rules", (target) => {
      putRules(target, compiled, place, places.permits);
    });
    fill(map, "destinations", (target) => {
      putDestinations(target, compiled, places, destinations);
    });
    fill(map, "overlay_classes", (target) => {
      putArray(
        target,
        classes.length + 1,
        overlayClassLayout,
        (i) => {
          const { below: under, fallback } = classes[i - 1] ?? noClass;
          return {
            below: under === undefined ? 0 : classValue(under.number, under),
            rule4: targets.value(fallback[4]),
            rule6: targets.value(fallback[6]),
            counter4: targets.counter(fallback[4]),
            counter6: targets.counter(fallback[6]),
          };
        },
        firstClass,
      );
    });
    fill(map, "overlay_exact", (target) => {
      removeOwners(target, ownerOfExact, firstClass, OVERLAY_CLASSES);
      putExact(target, overlay.exact, firstClass, targets);
    });
    fill(map, "overlay_prefixes", (target) => {
      removeOwners(target, ownerOfPrefix, firstClass, OVERLAY_CLASSES);
      putPrefixes(target, overlay, firstClass, targets);
    });
    fill(map, "counters", () => {
      counters.clear(mappings, compiled.mappings.length);
      shares.clear(mappings, compiled.mappings.length);
    });
    classes.forEach(({ protocol, ports }, index) => {
      const value = firstClass + index + 1 + ILM_CLASS_OVERLAY;
      for (const port of ports) values[portKey(protocol, port)] = value;
    });
  }
  const there = written.take(side, generationOn(map("sides"), side));
  describeSide(map("sides"), side, { ...readSide(map("sides"), below.side), number });
  fill(map, "ports", (target) => {
    putPorts(target, side, values, there);
  });
  written.giveBack(there);
  return values;
}

/** Returns where a generation's part of a table begins, whether that has sides or one part. */
export function firstPlace(
  map: Pick<BpfMap, "maxEntries">,
  { side, twoSided: sided }: { readonly side: Side; readonly twoSided: boolean },
): number {
  return sided ? side * (map.maxEntries / ILM_SIDES) : 0;
}

/** Writes the current index of each name, 0 for none. Returns true when something changed. */
export function putInterfaces(
  map: BpfMap,
  names: readonly string[],
  present: ReadonlyMap<number, string>,
  first: number,
): boolean {
  const indexes = new Map([...present].map(([index, name]) => [name, index]));
  const before = map.readArray(names.length, first);
  let changed = false;
  names.forEach((name, i) => {
    const index = i === 0 ? 0 : (indexes.get(name) ?? 0);
    const value = encode(u32, index);
    if (new DataView(before.buffer).getUint32(i * 4, true) === index) return;
    changed = true;
    map.update(encode(u32, first + i), value);
  });
  return changed;
}
