// Goal: the summary of a change names what a comparison of every mapping names.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { diffRules } from "../../../src/rules/diff.js";
import { NAMED, summarize, summaryOfDrains, summaryOfNew } from "../../../src/rules/summary.js";
import { placesBefore } from "../../../src/dataplane/observe/counting.js";
import { type Mapping, mappingKey } from "../../../src/model/mapping.js";
import { toColumns } from "../../../src/model/mapping-columns.js";
import { allMappings } from "../../../src/model/rules.js";
import { address, anyMapping, mapping } from "../daemon/fixtures.js";

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
        const protocols = list.map(({ protocol }) => protocol);
        return { count: names.length, names, protocols };
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

test("what is drained, and what no more, is named with the mappings that lead there", () => {
  const to = (host: string, port: number | "same") => [{ address: address(host), port }] as const;
  const mappings = [
    mapping("dns", { to: to("127.0.1.53", 53) }),
    mapping("dns", { protocol: "udp", to: to("127.0.1.53", 53) }),
    mapping("near", { to: to("127.0.1.53", "same"), ports: [{ first: 50, last: 60 }] }),
    mapping("far", { to: to("127.0.1.53", "same"), ports: [{ first: 80, last: 80 }] }),
    mapping("web", { to: to("127.0.1.10", 80) }),
  ];
  const place = { protocol: null, service: null } as const;
  const dns = { ...place, address: address("127.0.1.53"), port: 53 };
  const web = { ...place, address: address("127.0.1.10"), port: null };
  const read = () => ({ sources: [], file: { services: [], mappings }, runtime: [] });
  expect(summaryOfDrains([web], [dns], read)).toEqual({
    drained: [
      {
        destination: "127.0.1.53:53",
        mappings: {
          count: 3,
          names: ["dns", "dns", "near"],
          protocols: ["tcp", "udp", "tcp"],
        },
      },
    ],
    undrained: [
      {
        destination: "127.0.1.10",
        mappings: { count: 1, names: ["web"], protocols: ["tcp"] },
      },
    ],
  });
});

test("the rules are not read where nothing is drained anew", () => {
  const web = { protocol: null, address: null, service: "web", port: null };
  const read = () => {
    throw new Error("the rules were read");
  };
  expect(summaryOfDrains([web], [web], read)).toEqual({ drained: [], undrained: [] });
});
