/** Compiled rules -> the maps of a loaded object, in chunks: a million entries are never in memory twice. */
import {
  ExistingCode,
  ILM_CLASS_ASKS,
  ILM_CLASS_EXACT,
  ILM_CLASS_PREFIX,
  ILM_PORT_KEYS,
  ILM_STEP,
  MatchedCode,
  classLayout,
  destinationLayout,
  exactKeyLayout,
  prefixKeyLayout,
  ruleLayout,
  stepLayout,
} from "../abi/generated.js";
import { encode } from "../abi/layout.js";
import {
  type Compiled,
  type MatchedLevel,
  type PrefixTable,
  type Target,
  matchedLevels,
} from "../compile/tables.js";
import { putArray, putEntries, u32 } from "./entries.js";
import { IlmError } from "../errors.js";
import type { BpfMap, BpfObject } from "../kernel/bpf.js";
import { addressBytes } from "../model/address.js";
import { isWeighted, type Existing } from "../model/mapping.js";

/** Entries of each map; a map has at least one. */
export function tableSizes(compiled: Compiled): Record<string, number> {
  return {
    classes: compiled.classes.length + 1,
    exact: compiled.exact.count,
    prefixes: compiled.prefixes.count,
    sources: compiled.sources.count,
    steps: compiled.steps.count,
    interfaces: compiled.interfaces.length,
    owned: compiled.owned.length,
    rules: compiled.rules.count,
    destinations: compiled.destinations.count,
    counters: compiled.mappings.length,
    carried: compiled.mappings.length,
  };
}

/** The kernel's side of a target: negative numbers are steps. */
function toValue(target: Target): number {
  return target < 0 ? ILM_STEP + -target : target;
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

/** The trie compares bytes from the first on: network byte order, read back as a host number. */
function swap(value: number): number {
  return (
    (((value & 0xff) << 24) |
      ((value & 0xff00) << 8) |
      ((value >>> 8) & 0xff00) |
      (value >>> 24)) >>>
    0
  );
}

function putPrefixes(map: BpfMap, table: PrefixTable): void {
  const { owner, ipv6, length, target } = table;
  putEntries(
    map,
    table.count,
    [
      prefixKeyLayout,
      (i) => ({
        length: 32 + (length[i] ?? 0),
        classFamily: swap((owner[i] ?? 0) * 2 + (ipv6[i] ?? 0)),
        address: addressAt(table, i),
      }),
    ],
    [u32, (i) => toValue(target[i] ?? 0)],
  );
}

function putRules(map: BpfMap, { rules, mappings }: Compiled): void {
  putArray(map, rules.count, ruleLayout, (i) => {
    const index = rules.mapping[i] ?? 0;
    const mapping = mappings[index];
    const first = { first4: rules.first4[i] ?? 0, first6: rules.first6[i] ?? 0 };
    const count = { count4: rules.count4[i] ?? 0, count6: rules.count6[i] ?? 0 };
    if (i === 0 || mapping === undefined) {
      return { mapping: 0, ...first, ...count, existing: 0, reject: 0, weighted: 0 };
    }
    return {
      mapping: index,
      ...first,
      ...count,
      existing: existingCodes[mapping.existing],
      reject: mapping.miss === "reject" ? 1 : 0,
      weighted: isWeighted(mapping) ? 1 : 0,
    };
  });
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

/** Only the ports that are mapped: an array starts as zeroes. */
function putPorts(map: BpfMap, { classes }: Compiled): void {
  const keys: number[] = [];
  const values: number[] = [];
  classes.forEach((entry, index) => {
    const flags =
      (entry.hasExact ? ILM_CLASS_EXACT : 0) +
      (entry.hasPrefix ? ILM_CLASS_PREFIX : 0) +
      (entry.asks ? ILM_CLASS_ASKS : 0);
    const base = entry.protocol === "udp" ? ILM_PORT_KEYS / 2 : 0;
    for (const { first, last } of entry.ranges) {
      for (let port = first; port <= last; port++) {
        keys.push(base + port);
        values.push(index + 1 + flags);
      }
    }
  });
  putEntries(map, keys.length, [u32, (i) => keys[i] ?? 0], [u32, (i) => values[i] ?? 0]);
}

/** Fills the tables of a loaded object. `slots`: index into `primary` of each of the compiled endpoints. */
export function fillTables(object: BpfObject, compiled: Compiled, slots: readonly number[]): void {
  const fill = (name: string, put: (map: BpfMap) => void): void => {
    const map = object.map(name);
    try {
      put(map);
    } finally {
      map.close();
    }
  };
  const { exact, destinations, classes, owned } = compiled;
  fill("rules", (map) => putRules(map, compiled));
  fill("destinations", (map) => {
    putArray(map, destinations.count, destinationLayout, (i) => {
      const slot = slots[destinations.endpoint[i] ?? 0];
      if (slot === undefined) throw new IlmError("INTERNAL", `destination ${i} has no place`);
      const port = destinations.port[i] ?? 0;
      return {
        address: addressAt(destinations, i),
        slot,
        port,
        weight: destinations.weight[i] ?? 0,
      };
    });
  });
  fill("classes", (map) => {
    putArray(map, classes.length + 1, classLayout, (i) => {
      const fallback = classes[i - 1]?.fallback ?? { 4: 0, 6: 0 };
      return { rule4: toValue(fallback[4]), rule6: toValue(fallback[6]) };
    });
  });
  fill("exact", (map) => {
    putEntries(
      map,
      exact.count,
      [exactKeyLayout, (i) => ({ classId: exact.owner[i] ?? 0, address: addressAt(exact, i) })],
      [u32, (i) => toValue(exact.target[i] ?? 0)],
    );
  });
  fill("prefixes", (map) => putPrefixes(map, compiled.prefixes));
  fill("sources", (map) => putPrefixes(map, compiled.sources));
  fill("steps", (map) => putSteps(map, compiled));
  fill("owned", (map) => {
    const keys = Buffer.concat(owned.map((address) => addressBytes(address)));
    map.updateAll(keys, new Uint8Array(new Uint32Array(owned.length).fill(1).buffer));
  });
  fill("ports", (map) => putPorts(map, compiled));
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
