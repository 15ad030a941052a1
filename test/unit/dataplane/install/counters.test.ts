// Goal: what the counters take is bounded, whatever the machine and the file, and CPUs share a copy
// only where that asks for it.
import { describe, expect, test } from "vitest";
import { countersLayout } from "../../../../src/abi/generated.js";
import { COUNTER_BYTES, copiesFor } from "../../../../src/dataplane/install/counters.js";

const SMALL = 2048;
const MILLION = 1_000_000;

function bytesOf(slots: number, cpus: number): number {
  return copiesFor(slots, cpus).copies * slots * countersLayout.size;
}

describe("copies of the counters", () => {
  test.each([
    [1, 1],
    [2, 2],
    [6, 8],
    [64, 64],
    [256, 256],
  ])("of a thousand mappings each of %d CPUs has its own", (cpus, copies) => {
    expect(copiesFor(SMALL, cpus)).toEqual({ copies, shared: false });
  });

  test.each([
    [1, { copies: 1, shared: false }],
    [2, { copies: 2, shared: false }],
    [64, { copies: 2, shared: true }],
    [256, { copies: 2, shared: true }],
  ])("of a million mappings %d CPUs have %o", (cpus, expected) => {
    expect(copiesFor(MILLION, cpus)).toEqual(expected);
  });

  test("more than one copy fits into the bound, and one is always there", () => {
    for (const slots of [1, SMALL, 12_048, 100_000, MILLION, 10 * MILLION]) {
      for (const cpus of [1, 2, 3, 7, 64, 255, 256, 4096]) {
        const least = slots * countersLayout.size;
        expect(bytesOf(slots, cpus)).toBeLessThanOrEqual(Math.max(COUNTER_BYTES, least));
        expect(bytesOf(slots, cpus)).toBeGreaterThanOrEqual(least);
      }
    }
  });

  test("their number is a power of two, as the programs take the low bits of the CPU's", () => {
    for (let cpus = 1; cpus <= 300; cpus++) {
      expect(Math.log2(copiesFor(SMALL, cpus).copies) % 1).toBe(0);
    }
  });

  test("they are not shared where no two CPUs have the same low bits", () => {
    for (let cpus = 1; cpus <= 300; cpus++) {
      for (const slots of [SMALL, 30_000, MILLION]) {
        const { copies, shared } = copiesFor(slots, cpus);
        const taken = new Set(Array.from({ length: cpus }, (_, cpu) => cpu & (copies - 1)));
        expect(shared).toBe(taken.size < cpus);
      }
    }
  });
});
