// Goal: columns say of mappings what the objects say, whatever those are, and take a tenth of their
// room.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { digestOfFile } from "../../../src/dataplane/description.js";
import {
  MappingColumns,
  MappingColumnsBuilder,
  columnNames,
  toColumns,
} from "../../../src/model/mapping-columns.js";
import { joinMappings, toLazy } from "../../../src/model/mappings.js";
import { allMappings } from "../../../src/model/rules.js";
import { type Mapping, mappingKey } from "../../../src/model/mapping.js";
import { address, anyMapping, mapping, prefix, ruleSet, rules } from "../daemon/fixtures.js";

/** With everything that a mapping can have. */
const anyOfAll: fc.Arbitrary<Mapping> = fc
  .tuple(
    anyMapping,
    fc.option(fc.constantFrom([prefix("10.0.0.0/8")], [prefix("::/0"), prefix("fd00::/8")])),
    fc.option(fc.constantFrom(["eth0"], ["a", "b"])),
    fc.option(fc.constantFrom("derived" as const)),
    fc.option(fc.constantFrom("lookup" as const, "ingress" as const)),
  )
  .map(([made, from, interfaces, named, handover]) => ({
    ...made,
    ...(from && { from }),
    ...(interfaces && { interfaces }),
    ...(named && { name: `tcp:80@${made.on.join()}` }),
    to: made.to.map((one, i) => ({ ...one, weight: i + 1, ...(handover && { handover }) })),
  }));
const anyList = fc.array(fc.oneof(anyMapping, anyOfAll), { maxLength: 8 });

describe("columns", () => {
  test("give back every mapping as it was", () => {
    fc.assert(
      fc.property(anyList, (list) => {
        const columns = toColumns(list);
        expect([...columns]).toEqual(list);
        expect(columns.map(({ name }) => name)).toEqual(list.map(({ name }) => name));
        expect(columns.at(list.length)).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });

  test.each(["mapping", "mäpping", "映射"])(
    "give back the names of many mappings (%s), one by one and as a whole",
    (stem) => {
      const list = Array.from({ length: 300 }, (_, i) => mapping(`${stem}${i}`));
      const columns = toColumns(list);
      for (let round = 0; round < 2; round++) {
        list.forEach(({ name }, index) => {
          expect(columns.nameAt(index)).toBe(name);
        });
      }
    },
  );

  test("find the mappings that have some names, derived ones too", () => {
    fc.assert(
      fc.property(
        anyList,
        fc.array(fc.oneof(anyMapping, anyOfAll), { maxLength: 4 }),
        (list, more) => {
          const keys = new Set([...list.filter((_, i) => i % 2 === 0), ...more].map(mappingKey));
          const expected = new Map<string, number>();
          list.forEach((one, index) => {
            const key = mappingKey(one);
            if (keys.has(key) && !expected.has(key)) expected.set(key, index);
          });
          for (const lists of [toColumns(list), toLazy(list)]) {
            const found = lists.indexesOf(keys);
            expect([...found.keys()].toSorted()).toEqual([...expected.keys()].toSorted());
            for (const [key, index] of found) expect(mappingKey(list[index]!)).toBe(key);
          }
          expect(toColumns(list).indexesOf(new Set()).size).toBe(0);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("are the same again from their bytes, also from ones that begin at an odd place", () => {
    fc.assert(
      fc.property(anyList, (list) => {
        const columns = toColumns(list);
        const { length, lists } = columns;
        const stored = new Map(
          columnNames.map((name) => {
            const bytes = columns.bytesOf(name);
            const odd = new Uint8Array(bytes.length + 1);
            odd.set(bytes, 1);
            return [name, odd.subarray(1)];
          }),
        );
        const read = new MappingColumns(
          length,
          JSON.parse(JSON.stringify(lists)) as typeof lists,
          (name) => stored.get(name) ?? new Uint8Array(),
        );
        expect([...read]).toEqual(list);
      }),
    );
  });

  test("can be asked for what was pushed so far", () => {
    const builder = new MappingColumnsBuilder();
    for (let port = 1; port <= 300; port++) {
      builder.push(mapping(`m${port}`, { ports: [{ first: port, last: port }] }));
      expect(builder.at(port - 1).name).toBe(`m${port}`);
    }
    expect(builder.at(0).name).toBe("m1");
    expect(() => builder.at(300)).toThrow(RangeError);
  });

  test("take less than 40 bytes for a mapping of one address and one port", () => {
    const list = Array.from({ length: 1000 }, (_, i) =>
      mapping(`tcp:443@10.0.${i >> 8}.${i & 255}/32`, {
        ports: [{ first: 443, last: 443 }],
        on: [prefix(`10.0.${i >> 8}.${i & 255}`)],
      }),
    );
    const columns = toColumns(list);
    const bytes = columnNames.reduce((sum, name) => sum + columns.bytesOf(name).length, 0);
    expect(bytes / list.length).toBeLessThan(40);
    expect(columns.lists.to).toHaveLength(1);
    expect(columns.at(999)).toEqual(list[999]);
  });
});

test("columns know who may listen, which is no condition", () => {
  const listeners = [{ unit: "nginx.service" }];
  const from = [prefix("10.0.0.0/8")];
  const list = [
    mapping("a", { listeners }),
    mapping("b", { listeners, from }),
    mapping("c", { from }),
    mapping("d", { listeners: "anyone", on: [prefix("203.0.113.1/32")] }),
    mapping("e"),
  ];
  const columns = toColumns(list);
  expect(list.map((_, index) => columns.isConditionalAt(index))).toEqual([
    false,
    true,
    true,
    false,
    false,
  ]);
  expect(columns.ipv4HostAt(3)).toBeGreaterThan(0);
  expect([...columns]).toEqual(list);
  const changed = toColumns([mapping("a", { listeners: [{ user: 1 }] }), ...list.slice(1)]);
  const isSame = columns.comparer(changed);
  expect(list.map((_, index) => isSame(index, index))).toEqual([false, true, true, true, true]);
});

test("columns keep descriptions, which are no condition, and cost mappings without one nothing", () => {
  const list = [mapping("a"), mapping("b", { description: "the shop" }), mapping("c")];
  const columns = toColumns(list);
  expect([...columns]).toEqual(list);
  expect(list.map((_, index) => columns.isConditionalAt(index))).toEqual([false, false, false]);
  expect(columns.lists.conditions).toEqual([{ description: "the shop" }]);
  expect([...columns.column("conditions")]).toEqual([0, 1, 0]);
  const isSame = columns.comparer(toColumns([mapping("a"), mapping("b"), mapping("c")]));
  expect(list.map((_, index) => isSame(index, index))).toEqual([true, false, true]);
});

test("columns of mappings without listeners are as earlier releases have them", () => {
  const list = [mapping("a", { interfaces: ["eth0"] }), mapping("b")];
  const columns = toColumns(list);
  expect(columns.lists.conditions).toEqual([{ interfaces: ["eth0"] }]);
  expect([...columns.column("conditions")]).toEqual([1, 0]);
});

describe("the digest of what a file means", () => {
  const digest = (...mappings: readonly Mapping[]): string =>
    digestOfFile(["/etc/ilm/a.yaml"], ruleSet(...mappings));

  test("does not depend on where it was written, nor on the order of keys", () => {
    const to = { address: address("127.0.1.10"), port: 80, service: "web" };
    const turned = { service: "web", port: 80, address: address("127.0.1.10") };
    const elsewhere = { file: "b.yaml", line: 99, column: 9 };
    expect(digest(mapping("a", { to: [turned], origin: elsewhere }))).toBe(
      digest(mapping("a", { to: [to] })),
    );
  });

  test("depends on everything else, and on the order", () => {
    fc.assert(
      fc.property(anyList, anyList, (one, other) => {
        const meaning = (list: readonly Mapping[]): string =>
          JSON.stringify(
            list.map((one) =>
              Object.entries({ ...one, origin: null }).toSorted(([a], [b]) => (a < b ? -1 : 1)),
            ),
          );
        const isSame = digest(...one) === digest(...other);
        expect(isSame).toBe(meaning(one) === meaning(other));
        if (one.length > 1) {
          const turned = one.toReversed();
          expect(digest(...one) === digest(...turned)).toBe(meaning(one) === meaning(turned));
        }
      }),
      { numRuns: 300 },
    );
  });
});

test("a joined list is both lists, one after the other", () => {
  const [a, b, c] = [mapping("a"), mapping("b"), mapping("c")];
  const all = joinMappings(toColumns([a, b]), [c]);
  expect(all.length).toBe(3);
  expect([...all]).toEqual([a, b, c]);
  expect(all.map(({ name }, index) => `${index}${name}`)).toEqual(["0a", "1b", "2c"]);
  expect(all.flatMap(({ name }) => [name, name])).toEqual(["a", "a", "b", "b", "c", "c"]);
  expect(all.filter((_, index) => index !== 1)).toEqual([a, c]);
  expect(all.find(({ name }) => name === "c")).toEqual(c);
  expect([all.some(({ name }) => name === "b"), all.some(() => false)]).toEqual([true, false]);
  expect([all.slice(1), all.slice(0, 1), all.slice(2, 9)]).toEqual([[b, c], [a], [c]]);
  expect([all.at(2), all.at(3), all.at(-1)]).toEqual([c, undefined, undefined]);
  expect(JSON.parse(JSON.stringify(all))).toEqual([a, b, c]);
  expect(allMappings(rules(ruleSet(a), [])).at(0)).toBe(a);
});
