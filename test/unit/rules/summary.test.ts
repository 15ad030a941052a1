// Goal: the summary of a change names what a comparison of every mapping names.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { diffRules } from "../../../src/rules/diff.js";
import { NAMED, summarize, summaryOfNew } from "../../../src/rules/summary.js";
import { placesBefore } from "../../../src/dataplane/observe/counting.js";
import { type Mapping, mappingKey } from "../../../src/model/mapping.js";
import { toColumns } from "../../../src/model/mapping-columns.js";
import { allMappings } from "../../../src/model/rules.js";
import { anyMapping, mapping } from "../daemon/fixtures.js";

const anyList = fc.uniqueArray(
  fc.tuple(anyMapping, fc.nat(8)).map(([made, name]): Mapping => ({ ...made, name: `m${name}` })),
  { maxLength: 8, selector: mappingKey },
);
/** Some of one list are in the other too. */
const anyLists = fc
  .tuple(anyList, anyList, fc.infiniteStream(fc.boolean()))
  .map(([before, fresh, draw]) => {
    const known = new Map(before.map((one) => [mappingKey(one), one]));
    return [
      before,
      fresh.map((one) => (draw.next().value === true ? (known.get(mappingKey(one)) ?? one) : one)),
    ] as const;
  });

test("what was added, removed and changed, in columns and as objects, of the file and at run time", () => {
  fc.assert(
    fc.property(anyLists, fc.nat(8), fc.nat(8), ([before, after], split, other) => {
      const listed = (list: readonly Mapping[], at: number) => ({
        file: { services: [], mappings: toColumns(list.slice(0, at)) },
        runtime: list.slice(at),
        sources: [],
      });
      const [old, now] = [listed(before, split), listed(after, other)];
      const found = summarize(old, now, placesBefore(allMappings(old), allMappings(now)));
      const { added, removed, changed } = diffRules(old, now);
      const named = (list: readonly Mapping[]) => {
        const names = list.map(({ name }) => name);
        return { count: names.length, names };
      };
      expect(found.added).toMatchObject(named(added));
      expect(found.removed).toMatchObject(named(removed));
      expect(found.changed).toMatchObject(named(changed.map((one) => one.after)));
    }),
    { numRuns: 2000 },
  );
});

test("of many, all are counted and some are named", () => {
  const many = Array.from({ length: 3 * NAMED }, (_, i) => mapping(`m${i}`));
  const found = summaryOfNew({ file: { mappings: many }, runtime: [] });
  expect(found.added.count).toBe(many.length);
  expect(found.added.names).toHaveLength(NAMED);
  expect([found.removed.count, found.changed.count]).toEqual([0, 0]);
});
