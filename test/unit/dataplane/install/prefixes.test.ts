// Goal: every prefix and marker is in a slot where the program looks, and what is read back is what
// was put.
import { describe, expect, test } from "vitest";
import { ILM_PREFIX_SLOTS, prefixLayout } from "../../../../src/abi/generated.js";
import { decodeAll } from "../../../../src/abi/layout.js";
import { searchByLength } from "../../../../src/compile/lengths.js";
import { PrefixColumns, type PrefixTable, bitsAt } from "../../../../src/compile/tables.js";
import { putArray } from "../../../../src/dataplane/install/batches.js";
import { prefixSlot } from "../../../../src/dataplane/install/hash.js";
import {
  PrefixSlots,
  classFamily,
  findPrefix,
  ofMappings,
  slotsOf,
} from "../../../../src/dataplane/install/prefixes.js";
import type { Targets } from "../../../../src/dataplane/install/targets.js";
import type { PutValues } from "../../../../src/kernel/bpf/map.js";

/** An array map. */
class Slots {
  readonly maxEntries: number;
  readonly #bytes: Uint8Array;

  constructor(maxEntries: number) {
    this.maxEntries = maxEntries;
    this.#bytes = new Uint8Array(maxEntries * prefixLayout.size);
  }

  /** With room behind each value, as the kernel may have it. */
  writeArray(count: number, put: PutValues, first = 0): void {
    if (first + count > this.maxEntries) throw new RangeError(`there are no ${count} slots`);
    const { size } = prefixLayout;
    const stride = size + 8;
    const values = new Uint8Array(count * stride);
    for (let i = 0; i < count; i += 1) values.set(this.#at(first + i), i * stride);
    put(new DataView(values.buffer), stride);
    for (let i = 0; i < count; i += 1) {
      this.#at(first + i).set(values.subarray(i * stride, i * stride + size));
    }
  }

  #at(slot: number): Uint8Array {
    return this.#bytes.subarray(slot * prefixLayout.size, (slot + 1) * prefixLayout.size);
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    const slot = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
    if (slot >= this.maxEntries) return undefined;
    return this.#bytes.slice(slot * prefixLayout.size, (slot + 1) * prefixLayout.size);
  }

  all(): ReturnType<typeof prefixLayout.read>[] {
    return decodeAll(prefixLayout, this.#bytes);
  }
}

/** IPv4, 10.0.0.0/8 and so on: `network` is the number of the address. */
function address4(network: number): Uint8Array {
  const bytes = new Uint8Array(16).fill(0xff, 10, 12);
  new DataView(bytes.buffer).setUint32(12, network);
  return bytes;
}

/** That tell each target from the others. */
const targets: Targets = {
  value: (target) => (target < 0 ? 1000 - target : 100_000 + target),
  counter: (target) => (target < 0 ? 0 : 200_000 + target),
};
function foundFor(target: number): { target: number; counter: number } {
  return { target: targets.value(target), counter: targets.counter(target) };
}
const nothing = { target: 0, counter: 0 };

function filled(prefixes: PrefixTable, classes: number): { map: Slots; markers: PrefixTable } {
  const search = searchByLength(prefixes, classes);
  const slots = new PrefixSlots([ofMappings(prefixes), search.markers]);
  const map = new Slots(slots.size);
  slots.put(map, 0, targets, false);
  return { map, markers: search.markers };
}

/** Returns prefixes of two classes and many lengths, some inside others. */
function manyPrefixes(): PrefixTable {
  const columns = new PrefixColumns();
  for (let owner = 1; owner <= 2; owner += 1) {
    for (let i = 0; i < 3000; i += 1) {
      const length = 10 + (i % 20);
      const network = ((0x0a000000 + Math.imul(i, 0x9e3779b1)) & -(2 ** (32 - length))) >>> 0;
      const step = columns.count % 2 === 0;
      columns.pushBits(
        owner,
        { ipv6: false, address: address4(network), length: 96 + length },
        step ? -columns.count - 1 : columns.count + 1,
      );
    }
  }
  return columns.table();
}

describe("the slots of prefixes", () => {
  test("have each entry once, no further from its own slot than the program looks, with no empty one between", () => {
    const prefixes = manyPrefixes();
    const { map, markers } = filled(prefixes, 2);
    const entries = map.all();
    const full = entries.flatMap((entry, slot) => (entry.classFamily === 0 ? [] : [slot]));
    expect(markers.count).toBeGreaterThan(0);
    expect(full).toHaveLength(prefixes.count + markers.count);
    for (const slot of full) {
      const entry = entries[slot];
      if (entry === undefined) throw new Error("out of the table");
      const { classFamily: whose, length, address } = entry;
      const view = new DataView(address.buffer, address.byteOffset);
      const own = prefixSlot(view, 0, whose, length, slotsOf(map.maxEntries));
      expect(slot).toBeGreaterThanOrEqual(own);
      expect(slot - own).toBeLessThan(ILM_PREFIX_SLOTS);
      expect(entries.slice(own, slot).every((other) => other.classFamily !== 0)).toBe(true);
    }
  });

  test("give back every prefix, and no marker", () => {
    const prefixes = manyPrefixes();
    const { map, markers } = filled(prefixes, 2);
    for (let i = 0; i < prefixes.count; i += 1) {
      const found = findPrefix(map, prefixes.owner[i] ?? 0, bitsAt(prefixes, i));
      expect(found).toMatchObject(foundFor(prefixes.target[i] ?? 0));
    }
    for (let i = 0; i < markers.count; i += 1) {
      expect(findPrefix(map, markers.owner[i] ?? 0, bitsAt(markers, i))).toEqual(nothing);
    }
    expect(findPrefix(map, 3, bitsAt(prefixes, 0))).toEqual(nothing);
    expect(findPrefix(map, 1, { ...bitsAt(prefixes, 0), ipv6: true })).toEqual(nothing);
  });

  test("are all written where something was before, for classes of that side", () => {
    const prefixes = manyPrefixes();
    const search = searchByLength(prefixes, 2);
    const slots = new PrefixSlots([ofMappings(prefixes), search.markers], 256);
    const first = 100;
    const map = new Slots(first + slots.size);
    const stale = {
      classFamily: 514,
      length: 128,
      around: 128,
      address: address4(1),
      target: 1,
      counter: 1,
    };
    putArray(map, map.maxEntries, prefixLayout, () => stale);
    slots.put(map, first, targets, true);
    const entries = map.all();
    for (const entry of entries.slice(0, first)) expect(entry).toStrictEqual(stale);
    const found = entries.slice(first).filter(({ classFamily: whose }) => whose !== 0);
    expect(found).toHaveLength(prefixes.count + search.markers.count);
    expect(found.every(({ classFamily: whose }) => whose >> 1 === 257 || whose >> 1 === 258)).toBe(
      true,
    );
    const own = found.filter(({ length, around }) => length === around);
    const led = own.map(({ target }) => target).sort((a, b) => a - b);
    const wanted = [...prefixes.target].map((target) => targets.value(target));
    expect(led).toStrictEqual(wanted.sort((a, b) => a - b));
  });

  test("are there without any prefix", () => {
    const { map } = filled(new PrefixColumns().table(), 1);
    expect(slotsOf(map.maxEntries)).toBe(1);
    expect(findPrefix(map, 1, { ipv6: false, address: address4(0), length: 104 })).toEqual(nothing);
  });

  test("are more where too many entries would be for the same one", () => {
    const count = ILM_PREFIX_SLOTS + 1;
    const columns = new PrefixColumns();
    for (let network = 0; columns.count < count; network += 256) {
      const address = address4(network);
      const view = new DataView(address.buffer);
      if (prefixSlot(view, 0, classFamily(1, false), 120, 2 * count) !== 0) continue;
      columns.pushBits(1, { ipv6: false, address, length: 120 }, columns.count + 1);
    }
    const prefixes = columns.table();
    const { map } = filled(prefixes, 1);
    expect(slotsOf(map.maxEntries)).toBeGreaterThan(2 * count);
    for (let i = 0; i < count; i += 1) {
      expect(findPrefix(map, 1, bitsAt(prefixes, i))).toMatchObject(foundFor(i + 1));
    }
  });
});
