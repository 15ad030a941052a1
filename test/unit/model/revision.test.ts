// Goal: the mappings that a revision leads to are those that a reader of the whole file gives, in
// columns of the same bytes.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { columnNames, toColumns } from "../../../src/model/mapping-columns.js";
import { type Piece, addedBy, removedBy, reviseMappings } from "../../../src/model/revision.js";
import { anyMapping } from "../daemon/fixtures.js";

const anyList = fc.array(anyMapping, { maxLength: 12 });
const anyPieces = fc.tuple(
  anyList,
  fc.array(
    fc.oneof(
      fc.record({ skip: fc.nat(3), count: fc.nat(5), lines: fc.nat(9) }),
      fc.array(anyMapping, { maxLength: 3 }),
    ),
    { maxLength: 6 },
  ),
);

test("pieces of columns and new mappings make the columns that all of them would make", () => {
  fc.assert(
    fc.property(anyPieces, ([list, drawn]) => {
      const before = toColumns(list);
      let next = 0;
      const pieces: Piece[] = [];
      const wanted = [];
      const stays = new Set<number>();
      /** For each mapping afterwards, whether it was there before. */
      const keeps: boolean[] = [];
      for (const one of drawn) {
        if (!("skip" in one)) {
          pieces.push(one);
          wanted.push(...one);
          keeps.push(...one.map(() => false));
          continue;
        }
        const first = Math.min(next + one.skip, list.length);
        const count = Math.min(one.count, list.length - first);
        pieces.push({ first, count, lines: one.lines });
        next = first + count;
        for (let i = first; i < next; i++) {
          const { origin, ...rest } = before.at(i)!;
          wanted.push({ ...rest, origin: { ...origin, line: origin.line + one.lines } });
          stays.add(i);
          keeps.push(true);
        }
      }
      const made = reviseMappings(before, { pieces, name: null });
      const whole = toColumns(wanted);
      expect([...made]).toEqual(wanted);
      expect(made.lists).toEqual(whole.lists);
      for (const name of columnNames) expect(made.bytesOf(name)).toEqual(whole.bytesOf(name));
      const moved = reviseMappings(before, { pieces, name: "elsewhere" });
      const elsewhere = [...made].map((one, i) => ({
        ...one,
        origin: { ...one.origin, file: keeps[i] === true ? "elsewhere" : one.origin.file },
      }));
      expect([...moved]).toEqual(elsewhere);
      expect(removedBy(pieces, list.length)).toEqual(
        list.flatMap((_, i) => (stays.has(i) ? [] : [i])),
      );
      expect(addedBy(pieces)).toEqual(pieces.flatMap((piece) => ("first" in piece ? [] : piece)));
    }),
    { numRuns: 1000 },
  );
});
