// Goal: what is read and written as memory is what the kernel's own calls give and take, at every
// place, and nothing stays mapped.
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { type BpfMap, createArray } from "../../src/kernel/bpf/map.js";

const ENTRIES = 20_000;
const maps: BpfMap[] = [];

function make(valueSize: number): BpfMap {
  const map = createArray("mapped", valueSize, ENTRIES);
  maps.push(map);
  return map;
}

function keyOf(index: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index).buffer);
}

/** Tells each place from all others. */
function valueOf(index: number, size: number): Uint8Array {
  const value = new Uint8Array(size).fill(index % 251);
  new DataView(value.buffer).setUint32(0, index, true);
  return value;
}

/** Returns the BPF maps that this process has mapped. */
function mapped(): string[] {
  return readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.includes("bpf-map"));
}

afterEach(() => {
  for (const map of maps.splice(0)) map.close();
});

/** The kernel rounds 28 and 12 up to a multiple of 8. */
describe.each([4, 8, 12, 28, 32, 4096])("an array of values of %d bytes", (size) => {
  test.each([
    [0, ENTRIES],
    [1, ENTRIES - 1],
    [12_345, 7_000],
    [ENTRIES - 1, 1],
    [5, 0],
  ])("has from place %d on the %d values that are written there, and no others", (first, count) => {
    const map = make(size);
    map.writeArray(
      count,
      (values, stride) => {
        for (let i = 0; i < count; i++) {
          const value = valueOf(i + 1, size);
          new Uint8Array(values.buffer, values.byteOffset + i * stride, size).set(value);
        }
      },
      first,
    );
    for (const place of [0, first - 1, first, first + 1, first + count - 1, first + count]) {
      if (place < 0 || place >= ENTRIES) continue;
      const isOwn = place >= first && place < first + count;
      const wanted = isOwn ? valueOf(place - first + 1, size) : new Uint8Array(size);
      expect(map.lookup(keyOf(place)), `place ${place}`).toEqual(wanted);
    }
  });

  test("is read as it was written by calls, in one piece and in parts", () => {
    const map = make(size);
    const places = [0, 1, 4095, 4096, 4097, 16_384, ENTRIES - 1];
    for (const place of places) map.update(keyOf(place), valueOf(place, size));
    for (const first of [0, 1, 4096]) {
      const count = ENTRIES - first;
      const whole = map.readArray(count, first);
      const parts = new Uint8Array(count * size);
      map.readParts(count, first, (before, values) => {
        parts.set(values, before * size);
      });
      expect(Buffer.compare(whole, parts)).toBe(0);
      for (const place of places.filter((each) => each >= first)) {
        const at = (place - first) * size;
        expect(whole.subarray(at, at + size)).toEqual(valueOf(place, size));
      }
    }
  });

  test("gives no place behind its last one", () => {
    const map = make(size);
    expect(() => {
      map.writeArray(ENTRIES, () => undefined, 1);
    }).toThrow(/in a map of|bpf_map_update_batch/);
  });
});

test("nothing stays mapped, also of what cannot be put down", () => {
  const map = make(32);
  map.writeArray(ENTRIES, () => {
    expect(mapped()).not.toEqual([]);
  });
  map.readArray(ENTRIES);
  const failing = (): void => {
    throw new Error("no more");
  };
  expect(() => {
    map.writeArray(ENTRIES, failing);
  }).toThrow("no more");
  expect(() => {
    map.readParts(ENTRIES, 0, failing);
  }).toThrow("no more");
  expect(mapped()).toEqual([]);
});

test("memory is seen by the kernel at once, and the other way round", () => {
  const map = make(8);
  map.writeArray(ENTRIES, (values, stride) => {
    values.setBigUint64(7 * stride, 1n, true);
    expect(map.lookup(keyOf(7))).toEqual(new Uint8Array(BigUint64Array.of(1n).buffer));
    map.update(keyOf(8), new Uint8Array(BigUint64Array.of(2n).buffer));
    expect(values.getBigUint64(8 * stride, true)).toBe(2n);
  });
});
