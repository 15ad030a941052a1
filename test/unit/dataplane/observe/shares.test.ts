// Goal: each destination keeps its count in whatever list of destinations the mapping has next, and
// no count is anybody else's.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { divide, moveShares, type Counted } from "../../../../src/dataplane/observe/shares.js";
import { sharesFor, tellsApart } from "../../../../src/dataplane/install/shares.js";
import type { Mapping } from "../../../../src/model/mapping.js";
import { address, mapping } from "../../daemon/fixtures.js";

function leading(...to: readonly number[]): Mapping {
  const destinations = to.map((n) => ({ address: address(`127.0.1.${n}`), port: 80 }));
  return { ...mapping("m"), to: destinations };
}

/** What `counted` destinations have, and `gone` that nobody has any more. */
function countedBy(one: Mapping, counts: readonly number[], gone: number, width: number): Counted {
  const selected = counts.reduce((sum, count) => sum + count, gone);
  const values = new Float64Array(width);
  values.set([gone, ...counts.slice(1)]);
  const sums = new Uint8Array(BigUint64Array.from([0n, BigInt(selected), 0n, 0n]).buffer);
  return { mappings: [one], sums, shares: { width, values } };
}

const selectedOf = ({ sums }: Counted): number => Number(new BigUint64Array(sums.buffer)[1]);

describe("shares", () => {
  test("go with their destinations", () => {
    const list = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
    const count = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 ** 40 }));
    const counts = fc.array(count, { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(list, list, counts, count, (before, after, each, gone) => {
        const own = before.map((n) => each[n - 1] ?? 0);
        const counted = countedBy(leading(...before), own, gone, 4);
        const selected = selectedOf(counted);
        const moved = moveShares(counted, [leading(...after)], Int32Array.of(0), 8);
        const now = divide(leading(...after).to, moved, 0, selected);
        expect(now).toEqual(after.map((n) => (before.includes(n) ? each[n - 1] : 0)));
        // And back: what came back has nothing of what it left behind.
        const again = moveShares(
          { ...counted, mappings: [leading(...after)], shares: moved },
          [leading(...before)],
          Int32Array.of(0),
          4,
        );
        expect(divide(leading(...before).to, again, 0, selected)).toEqual(
          before.map((n) => (after.includes(n) ? each[n - 1] : 0)),
        );
      }),
    );
  });

  test("of an earlier version are known only where there was one destination", () => {
    const of = (before: Mapping): number[] => {
      const counted = { ...countedBy(before, [7], 0, 4), shares: null };
      const after = leading(1, 2);
      return divide(after.to, moveShares(counted, [after], Int32Array.of(0), 4), 0, 7);
    };
    expect(of(leading(1))).toEqual([7, 0]);
    expect(of(leading(3))).toEqual([0, 0]);
    expect(of(leading(1, 2))).toEqual([0, 0]);
  });

  test("of a new mapping begin with nothing", () => {
    const counted = countedBy(leading(1), [7], 0, 4);
    const moved = moveShares(counted, [leading(1)], Int32Array.of(-1), 4);
    expect([...moved.values]).toEqual([0, 0, 0, 0]);
  });
});

test("tables tell apart what they are made for, and a little more", () => {
  for (const destinations of [1, 2, 4, 5, 16, 32]) {
    const table = { share: Uint8Array.from({ length: destinations }, (_, i) => i) };
    const shares = sharesFor(table);
    expect(tellsApart(table, shares)).toBe(true);
    expect(shares).toBe(destinations <= 4 ? 3 : destinations === 5 ? 7 : destinations - 1);
    expect(tellsApart({ share: Uint8Array.of(shares + 1) }, shares)).toBe(false);
  }
});
