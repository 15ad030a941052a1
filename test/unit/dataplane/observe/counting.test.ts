// Goal: counters are summed to the last bit, and each mapping finds its own again wherever it is in
// the next rules.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countersLayout } from "../../../../src/abi/generated.js";
import {
  addCounters,
  moveCounters,
  placesBefore,
  sumRuns,
  sumsAt,
} from "../../../../src/dataplane/observe/counting.js";
import { toColumns } from "../../../../src/model/mapping-columns.js";
import type { Mapping } from "../../../../src/model/mapping.js";
import { joinMappings } from "../../../../src/model/mappings.js";
import { mapping } from "../../daemon/fixtures.js";

const FIELDS = countersLayout.size / 8;

function bytesOf(numbers: readonly bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(numbers).buffer);
}

function numbersOf(bytes: Uint8Array): bigint[] {
  return [...new BigUint64Array(bytes.slice().buffer)];
}

/** Mostly zeros, and what is at the edge of 32 and of 64 bits. */
const counter = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0n) },
  fc.constantFrom(1n, 0xffffffffn, 0x1_0000_0000n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt(0n, 2n ** 64n - 1n),
);

describe("counters", () => {
  test("are added up in 64 bits, of each place over all of its values", () => {
    const cases = fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 300 }))
      .chain(([each, places]) =>
        fc.record({
          each: fc.constant(each),
          sums: fc.array(counter, { minLength: places * FIELDS, maxLength: places * FIELDS }),
          own: fc.array(counter, {
            minLength: places * FIELDS * each,
            maxLength: places * FIELDS * each,
          }),
        }),
      );
    fc.assert(
      fc.property(cases, ({ each, sums, own }) => {
        const wanted = [...sums];
        own.forEach((value, i) => {
          const place = Math.floor(i / (FIELDS * each)) * FIELDS + (i % FIELDS);
          wanted[place] = BigInt.asUintN(64, (wanted[place] ?? 0n) + value);
        });
        const result = bytesOf(sums);
        addCounters(result, bytesOf(own), each);
        expect(numbersOf(result)).toEqual(wanted);
      }),
      { numRuns: 100 },
    );
  });

  test("go with their mapping, and those of none are 0", () => {
    const cases = fc.integer({ min: 1, max: 50 }).chain((count) =>
      fc.record({
        sums: fc.array(counter, { minLength: count * FIELDS, maxLength: count * FIELDS }),
        places: fc.array(
          fc.oneof(fc.constant(-1), fc.nat(count - 1)).chain((first) =>
            // Neighbours, as they are when something was put in between.
            fc
              .nat(10)
              .map((more) =>
                Array.from({ length: more + 1 }, (_, i) =>
                  first < 0 ? -1 : Math.min(first + i, count - 1),
                ),
              ),
          ),
          { maxLength: 8 },
        ),
      }),
    );
    fc.assert(
      fc.property(cases, ({ sums, places: parts }) => {
        const places = Int32Array.from(parts.flat());
        // Something is there already.
        const into = new Uint8Array(places.length * countersLayout.size).fill(7);
        moveCounters(bytesOf(sums), places, into);
        const wanted = [...places].flatMap((place) =>
          Array.from({ length: FIELDS }, (_, i) => (place < 0 ? 0n : sums[place * FIELDS + i])),
        );
        expect(numbersOf(into)).toEqual(wanted);
      }),
    );
  });
});

/** A table of so many places, in whose fields each has its number times `factor`. */
function table(
  places: number,
  factor: bigint,
): {
  readonly maxEntries: number;
  readonly reads: number[];
  readParts(
    count: number,
    first: number,
    look: (before: number, values: Uint8Array, each: number) => void,
  ): void;
} {
  const reads: number[] = [];
  return {
    maxEntries: places,
    reads,
    readParts: (count, first, look) => {
      reads.push(count);
      for (let before = 0; before < count; before += 7) {
        const part = Math.min(7, count - before);
        const numbers = Array.from({ length: part * FIELDS }, (_, i) => {
          const place = BigInt(first + before + Math.floor(i / FIELDS));
          return place * factor + BigInt(i % FIELDS);
        });
        look(before, bytesOf(numbers), 1);
      }
    },
  };
}

describe("the counters of some mappings", () => {
  const runs = [
    { counters: 0, carried: 0, count: 3000 },
    { counters: 5000, carried: 4000, count: 10 },
  ];

  test.each([
    ["few", [2, 3009, 0, 3000, 2999]],
    ["many", Array.from({ length: 3010 }, (_, i) => 3009 - i)],
  ])("are those that they have among all: of %s", (_, indexes) => {
    const all = numbersOf(sumRuns(runs, table(6000, 1n), table(6000, 1000n)));
    const some = numbersOf(sumsAt(indexes, runs, table(6000, 1n), table(6000, 1000n)));
    expect(some).toEqual(
      indexes.flatMap((index) => all.slice(index * FIELDS, (index + 1) * FIELDS)),
    );
  });

  test.each([[[3010]], [[...Array(3011).keys()].reverse()]])(
    "are 0 where there is no such mapping any more",
    (indexes) => {
      const some = numbersOf(sumsAt(indexes, runs, table(6000, 1n), table(6000, 1000n)));
      expect(some).toHaveLength(indexes.length * FIELDS);
      expect(some.slice(0, FIELDS)).toEqual([0n, 0n, 0n, 0n]);
    },
  );

  test("are read alone, where they are few", () => {
    const counters = table(6000, 1n);
    sumsAt([5, 3001], runs, table(6000, 1n), counters);
    expect(counters.reads).toEqual([1, 1]);
  });
});

/** Few names, long and short ones with the same beginning, so that lists have much in common. */
const named = fc
  .record({
    name: fc.constantFrom("a", "ab", "abc", "b", "mapping-of-more-than-13", "ä", "äb", "tcp:80"),
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
  })
  .map((parts): Mapping => mapping(parts.name, { protocol: parts.protocol }));
const names = fc.uniqueArray(named, {
  maxLength: 12,
  selector: ({ name, protocol }) => `${protocol} ${name}`,
});

describe("places before", () => {
  test("are those of the same name and protocol, as columns and as objects", () => {
    fc.assert(
      fc.property(names, names, fc.nat(12), (old, fresh, common) => {
        const start = old.slice(0, common);
        const taken = new Set(start.map(({ name, protocol }) => `${protocol} ${name}`));
        const rest = fresh.filter(({ name, protocol }) => !taken.has(`${protocol} ${name}`));
        const after = [...start, ...rest];
        const wanted = after.map(({ name, protocol }) =>
          old.findIndex((one) => one.name === name && one.protocol === protocol),
        );
        expect([...placesBefore(old, after)]).toEqual(wanted);
        expect([...placesBefore(toColumns(old), toColumns(after))]).toEqual(wanted);
        const middle = Math.floor(after.length / 2);
        const joined = joinMappings(toColumns(after.slice(0, middle)), after.slice(middle));
        expect([...placesBefore(toColumns(old), joined)]).toEqual(wanted);
      }),
      { numRuns: 1000 },
    );
  });
});
