// Goal: a table of names finds what a map of texts finds.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { NameTable, type Named } from "../../../src/model/name-table.js";

const anyNamed: fc.Arbitrary<Named> = fc.record({
  name: fc.string({ maxLength: 3 }),
  protocol: fc.constantFrom("tcp" as const, "udp" as const),
});

function putAll(all: readonly Named[]): (number | undefined)[] {
  const table = new NameTable((index) => all[index]);
  return all.map((named, index) => table.put(named, index));
}

test("a name that was put is found, by protocol, however many there are", () => {
  fc.assert(
    fc.property(fc.array(anyNamed, { maxLength: 2000, size: "max" }), (all) => {
      const known = new Map<string, number>();
      const expected = all.map(({ name, protocol }, index) => {
        const before = known.get(`${protocol} ${name}`);
        if (before === undefined) known.set(`${protocol} ${name}`, index);
        return before;
      });
      expect(putAll(all)).toEqual(expected);
    }),
    { numRuns: 200 },
  );
});

test("names of which two have one hash are told apart", () => {
  // 200,000 texts have some five pairs with equal hashes of 32 bits.
  const all = Array.from({ length: 200_000 }, (_, i): Named => ({
    name: `name ${i}`,
    protocol: i % 2 === 0 ? "tcp" : "udp",
  }));
  expect(putAll(all).every((found) => found === undefined)).toBe(true);
  expect(putAll([...all, ...all]).slice(all.length)).toEqual(all.map((_, index) => index));
});
