/** Compiled rules -> the maps of a loaded object, in chunks: a million entries are never in memory twice. */
import {
  ExistingCode,
  ILM_CLASS_ASKS,
  ILM_CLASS_EXACT,
  ILM_CLASS_MASK,
  ILM_CLASS_OVERLAY,
  ILM_CLASS_PREFIX,
  ILM_PORT_KEYS,
  MatchedCode,
  type PrefixKey,
  classLayout,
  destinationLayout,
  exactKeyLayout,
  lengthLayout,
  overlayClassLayout,
  prefixKeyLayout,
  prefixTargetLayout,
  ruleLayout,
  stepLayout,
} from "../abi/generated.js";
import { encode, type Layout } from "../abi/layout.js";
import { type Search, maskOf, searchByLength } from "../compile/lengths.js";
import type { BaseClass, Overlay } from "../compile/overlay.js";
import {
  type Compiled,
  type MatchedLevel,
  type PrefixBits,
  type PrefixTable,
  bitsAt,
  matchedLevels,
} from "../compile/tables.js";
import { beginStep } from "../progress.js";
import type { Layers } from "./description.js";
import { putArray, putEntries, targetValue, u32 } from "./entries.js";
import { PrefixSlots, classFamily, ofMappings } from "./prefixes.js";
import { IlmError } from "../errors.js";
import type { BpfMap, BpfObject } from "../kernel/bpf.js";
import { addressBytes } from "../model/address.js";
import { isWeighted, type Existing, type Protocol } from "../model/mapping.js";
import { countPorts } from "../model/ports.js";

/** Whole addresses and prefixes of compiled rules, as they are searched. */
export interface Searched {
  readonly search: Search;
  readonly prefixes: PrefixSlots;
}

export function searched({ exact, prefixes, classes }: Compiled): Searched {
  beginStep("arranging the addresses");
  const search = searchByLength(prefixes, classes.length);
  const tables = [ofMappings(exact), ofMappings(prefixes), search.markers];
  return { search, prefixes: new PrefixSlots(tables) };
}

/** Entries of each map. `room`: of the tables that overlays share with what is below them, for each of two. */
export function tableSizes(
  compiled: Compiled,
  { search, prefixes }: Searched,
  room: Room,
): Record<string, number> {
  const mappings = compiled.mappings.length + 2 * room.mappings;
  return {
    classes: compiled.classes.length + 1,
    prefixes: prefixes.size,
    lengths: search.lengths.count,
    sources: compiled.sources.count,
    steps: compiled.steps.count,
    interfaces: compiled.interfaces.length,
    owned: compiled.owned.length,
    rules: compiled.rules.count + 2 * room.rules,
    destinations: compiled.destinations.count + 2 * room.destinations,
    counters: mappings,
    carried: mappings,
  };
}

export function overlaySizes(overlay: Overlay | null): Record<string, number> {
  return {
    overlay_classes: (overlay?.classes.length ?? 0) + 1,
    overlay_exact: overlay?.exact.count ?? 0,
    overlay_prefixes: overlay?.prefixes.count ?? 0,
  };
}

export interface Room {
  readonly mappings: number;
  readonly rules: number;
  readonly destinations: number;
}

export const noRoom: Room = { mappings: 0, rules: 0, destinations: 0 };
/** Mappings added at run time beyond this are compiled with the file's. */
export const overlayRoom: Room = { mappings: 1024, rules: 8192, destinations: 16_384 };
/** To build a generation of fewer anew costs no more than to load its programs, which has to be done all the same. */
const LAYERED_FROM = 10_000;

/** Should mappings added at run time be an overlay over a file of so many? */
export function isLayered(mappings: number, layeredFrom: number = LAYERED_FROM): boolean {
  return mappings >= layeredFrom;
}

/** Where the parts of an overlay begin in the tables that it shares. */
export function offsets(layers: Layers): Room {
  const { mappings, rules, destinations, room } = layers;
  return {
    mappings: mappings + room * overlayRoom.mappings,
    rules: rules + room * overlayRoom.rules,
    destinations: destinations + room * overlayRoom.destinations,
  };
}

export function fitsRoom({ compiled }: Overlay): boolean {
  return (
    compiled.mappings.length <= overlayRoom.mappings &&
    compiled.rules.count - 1 <= overlayRoom.rules &&
    compiled.destinations.count <= overlayRoom.destinations
  );
}

const existingCodes: Readonly<Record<Existing, number>> = {
  exact: ExistingCode.EXACT,
  any: ExistingCode.ANY,
  never: ExistingCode.NEVER,
};
const matchedCodes: Readonly<Record<MatchedLevel, number>> = {
  default: MatchedCode.DEFAULT,
  exact: MatchedCode.EXACT,
  prefix: MatchedCode.PREFIX,
};

function addressAt(table: { readonly address: Uint8Array }, index: number): Uint8Array {
  return table.address.subarray(index * 16, index * 16 + 16);
}

/** A trie compares bytes from the first on: network byte order, read back as a host number. */
function swap(value: number): number {
  return (
    (((value & 0xff) << 24) |
      ((value & 0xff00) << 8) |
      ((value >>> 8) & 0xff00) |
      (value >>> 24)) >>>
    0
  );
}

function prefixKeys(table: PrefixTable): [Layout<PrefixKey>, (index: number) => PrefixKey] {
  return [prefixKeyLayout, (i) => prefixKey(table.owner[i] ?? 0, bitsAt(table, i))];
}

/** `owner`: a class or a group. */
function prefixKey(owner: number, { ipv6, address, length }: PrefixBits): PrefixKey {
  return { length: 32 + length, classFamily: swap(classFamily(owner, ipv6)), address };
}

function putPrefixes(map: BpfMap, table: PrefixTable): void {
  const { count, length, target } = table;
  putEntries(map, count, prefixKeys(table), [
    prefixTargetLayout,
    (i) => ({ target: targetValue(target[i] ?? 0), length: length[i] ?? 0 }),
  ]);
}

function putLengths(map: BpfMap, { lengths }: Search): void {
  putArray(map, lengths.count, lengthLayout, (i) => {
    const length = lengths.length[i] ?? 0;
    return {
      mask: maskOf(length),
      length,
      shorter: lengths.shorter[i] ?? 0,
      longer: lengths.longer[i] ?? 0,
    };
  });
}

function putSources(map: BpfMap, table: PrefixTable): void {
  putEntries(map, table.count, prefixKeys(table), [u32, (i) => targetValue(table.target[i] ?? 0)]);
}

function putExact(map: BpfMap, exact: PrefixTable): void {
  putEntries(
    map,
    exact.count,
    [exactKeyLayout, (i) => ({ classId: exact.owner[i] ?? 0, address: addressAt(exact, i) })],
    [u32, (i) => targetValue(exact.target[i] ?? 0)],
  );
}

/** Where a layer lies in the tables; the first has all from 0 on. */
interface Place extends Room {
  /** Index of the first mapping among all. */
  readonly first: number;
}

const firstPlace: Place = { ...noRoom, first: 0 };

/** All but [0], which is no rule. */
function putRules(map: BpfMap, { rules, mappings }: Compiled, place: Place): void {
  const counts = new Map<number, number>();
  putArray(
    map,
    rules.count - 1,
    ruleLayout,
    (n) => {
      const i = n + 1;
      const index = rules.mapping[i] ?? 0;
      const mapping = mappings[index];
      if (mapping === undefined) throw new IlmError("INTERNAL", `rule ${i} has no mapping`);
      let ports = counts.get(index);
      if (ports === undefined) {
        ports = countPorts(mapping.ports);
        counts.clear();
        counts.set(index, ports);
      }
      return {
        mapping: place.first + index,
        counter: place.mappings + index,
        ports,
        first4: place.destinations + (rules.first4[i] ?? 0),
        first6: place.destinations + (rules.first6[i] ?? 0),
        count4: rules.count4[i] ?? 0,
        count6: rules.count6[i] ?? 0,
        existing: existingCodes[mapping.existing],
        reject: mapping.miss === "reject" ? 1 : 0,
        weighted: isWeighted(mapping) ? 1 : 0,
      };
    },
    // The first layer's first rule is [1].
    Math.max(place.rules, 1),
  );
}

function putDestinations(
  map: BpfMap,
  { destinations }: Compiled,
  slots: readonly number[],
  place: Place,
): void {
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
        weight: destinations.weight[i] ?? 0,
      };
    },
    place.destinations,
  );
}

function putSteps(map: BpfMap, { steps }: Compiled): void {
  putArray(map, steps.count, stepLayout, (i) => {
    const level = matchedLevels[steps.matched[i] ?? 0] ?? "default";
    return {
      rule: steps.rule[i] ?? 0,
      next: steps.next[i] ?? 0,
      group: steps.group[i] ?? 0,
      interface: steps.interface[i] ?? 0,
      matched: matchedCodes[level],
    };
  });
}

/** What `ports` has for a class. */
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
  // The bit operators of JavaScript give signed numbers.
  const has = (flag: number): boolean => (value & flag) !== 0;
  return {
    number: value & ILM_CLASS_MASK,
    hasExact: has(ILM_CLASS_EXACT),
    hasPrefix: has(ILM_CLASS_PREFIX),
    asks: has(ILM_CLASS_ASKS),
  };
}

export function portKey(protocol: Protocol, port: number): number {
  return port + (protocol === "udp" ? ILM_PORT_KEYS / 2 : 0);
}

/** Only the ports that are mapped: an array starts as zeroes. */
function putPorts(map: BpfMap, { classes }: Compiled): void {
  const keys: number[] = [];
  const values: number[] = [];
  classes.forEach((entry, index) => {
    for (const { first, last } of entry.ranges) {
      for (let port = first; port <= last; port++) {
        keys.push(portKey(entry.protocol, port));
        values.push(classValue(index + 1, entry));
      }
    }
  });
  putEntries(map, keys.length, [u32, (i) => keys[i] ?? 0], [u32, (i) => values[i] ?? 0]);
}

function fill(object: BpfObject, name: string, put: (map: BpfMap) => void): void {
  beginStep(`filling the table ${name}`);
  const map = object.map(name);
  try {
    put(map);
  } finally {
    map.close();
  }
}

/** Fills the tables of a loaded object. `slots`: index into `primary` of each of the compiled endpoints. */
export function fillTables(
  object: BpfObject,
  compiled: Compiled,
  { search, prefixes }: Searched,
  slots: readonly number[],
): void {
  const { classes, owned } = compiled;
  fill(object, "rules", (map) => putRules(map, compiled, firstPlace));
  fill(object, "destinations", (map) => putDestinations(map, compiled, slots, firstPlace));
  fill(object, "classes", (map) => {
    putArray(map, classes.length + 1, classLayout, (i) => {
      const fallback = classes[i - 1]?.fallback ?? { 4: 0, 6: 0 };
      return {
        rule4: targetValue(fallback[4]),
        rule6: targetValue(fallback[6]),
        lengths4: search.roots[4][i] ?? 0,
        lengths6: search.roots[6][i] ?? 0,
      };
    });
  });
  fill(object, "prefixes", (map) => prefixes.put(map));
  fill(object, "lengths", (map) => putLengths(map, search));
  fill(object, "sources", (map) => putSources(map, compiled.sources));
  fill(object, "steps", (map) => putSteps(map, compiled));
  fill(object, "owned", (map) => {
    const keys = Buffer.concat(owned.map((address) => addressBytes(address)));
    map.updateAll(keys, new Uint8Array(new Uint32Array(owned.length).fill(1).buffer));
  });
  fill(object, "ports", (map) => putPorts(map, compiled));
}

/**
 * Lays an overlay over tables that are in force: into the room that nobody reads, and into maps of its own. `below`: the values
 * of `ports` without any overlay.
 */
export function fillOverlay(
  object: BpfObject,
  overlay: Overlay,
  slots: readonly number[],
  layers: Layers,
  below: Uint32Array,
): void {
  const { compiled, classes } = overlay;
  const place = { ...offsets(layers), first: layers.mappings };
  fill(object, "rules", (map) => putRules(map, compiled, place));
  fill(object, "destinations", (map) => putDestinations(map, compiled, slots, place));
  fill(object, "overlay_classes", (map) => {
    putArray(map, classes.length + 1, overlayClassLayout, (i) => {
      const entry = classes[i - 1];
      if (entry === undefined) return { below: 0, rule4: 0, rule6: 0 };
      const { below: under, fallback } = entry;
      return {
        below: under === undefined ? 0 : classValue(under.number, under),
        rule4: targetValue(fallback[4]),
        rule6: targetValue(fallback[6]),
      };
    });
  });
  fill(object, "overlay_exact", (map) => putExact(map, overlay.exact));
  fill(object, "overlay_prefixes", (map) => putPrefixes(map, overlay.prefixes));
  const values = below.slice();
  classes.forEach(({ protocol, ports }, index) => {
    for (const port of ports) values[portKey(protocol, port)] = index + 1 + ILM_CLASS_OVERLAY;
  });
  fill(object, "ports", (map) => putArray(map, values.length, u32, (i) => values[i] ?? 0));
}

/** The index that each name has now, 0 for none; true when something changed. */
export function putInterfaces(
  map: BpfMap,
  names: readonly string[],
  present: ReadonlyMap<number, string>,
): boolean {
  const indexes = new Map([...present].map(([index, name]) => [name, index]));
  const before = map.readArray(names.length);
  let changed = false;
  names.forEach((name, i) => {
    const index = i === 0 ? 0 : (indexes.get(name) ?? 0);
    const value = encode(u32, index);
    if (new DataView(before.buffer).getUint32(i * 4, true) === index) return;
    changed = true;
    map.update(encode(u32, i), value);
  });
  return changed;
}
