// Goal: mappings that decide alike share a rule, all others have their own, and each is led to its
// own counter.
import { describe, expect, test } from "vitest";
import { ExistingCode, ILM_STEP } from "../../../../src/abi/generated.js";
import { compile } from "../../../../src/compile/compile.js";
import type { Compiled } from "../../../../src/compile/tables.js";
import { shapesOf } from "../../../../src/dataplane/install/shapes.js";
import { offsets, placeOfCounter } from "../../../../src/dataplane/install/tables.js";
import {
  OVERLAY_RULES,
  OverlayTargets,
  TableTargets,
} from "../../../../src/dataplane/install/targets.js";
import type { Address, Prefix } from "../../../../src/model/address.js";
import type { Mapping } from "../../../../src/model/mapping.js";
import { MappingColumnsBuilder } from "../../../../src/model/mapping-columns.js";

/** The n-th of mappings that are alike but for names and addresses; `other`: what is not alike. */
function mapping(n: number, other: Partial<Mapping> = {}): Mapping {
  return {
    name: `mapping ${n}`,
    protocol: "tcp",
    ports: [{ first: 443, last: 443 }],
    on: [`10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}/32` as Prefix],
    to: [{ address: "127.0.1.10" as Address, port: 8080 }],
    existing: "exact",
    miss: "pass",
    origin: { file: "<test>", line: n + 1, column: 0 },
    ...other,
  };
}

function compiled(mappings: readonly Mapping[], asColumns = false): Compiled {
  const builder = new MappingColumnsBuilder();
  for (const one of mappings) builder.push(one);
  const given = asColumns ? builder.finish() : mappings;
  return compile({ sources: [], file: { services: [], mappings: given }, runtime: [] });
}

/** What each rule of the compiled says, by its mapping's name. */
function shapesByName(rules: Compiled): Map<string, number[]> {
  const shapes = shapesOf(rules);
  const byName = new Map<string, number[]>();
  for (let i = 1; i < rules.rules.count; i += 1) {
    const name = rules.mappings.at(rules.rules.mapping[i] ?? 0)?.name ?? "";
    byName.set(name, [...(byName.get(name) ?? []), shapes.of[i] ?? 0]);
  }
  return byName;
}

function to(octet: number): Mapping["to"] {
  return [{ address: `127.0.${octet >> 8}.${octet & 255}` as Address, port: 8080 }];
}

describe.each([false, true])("shapes of rules, of mappings as columns: %s", (asColumns) => {
  test("are one for mappings that are alike", () => {
    const rules = compiled(
      Array.from({ length: 3000 }, (_, n) => mapping(n)),
      asColumns,
    );
    const shapes = shapesOf(rules);
    expect(shapes.count).toBe(2);
    expect([...shapes.of.subarray(1)]).toStrictEqual(Array.from({ length: 3000 }, () => 1));
    expect(shapes.at(1, 100, [0, 7])).toStrictEqual({
      first4: 100 + (rules.rules.first4[1] ?? 0),
      first6: 100 + (rules.rules.first6[1] ?? 0),
      ports: 1,
      count4: 1,
      count6: 0,
      existing: ExistingCode.EXACT,
      reject: 0,
      choice: 0,
      wildcard: 0,
      permit: 7,
    });
  });

  test("say whether a destination is a wildcard address", () => {
    const rules = compiled([mapping(0, { to: [{ address: "*", port: 80 }] })], asColumns);
    expect(shapesOf(rules).at(1, 0, [0, 7])).toMatchObject({ wildcard: 1, choice: 0, permit: 7 });
  });

  test("differ by each thing that decides", () => {
    const [destination] = mapping(0).to;
    if (destination === undefined) throw new Error("no destination");
    const mappings = [
      mapping(0),
      mapping(1, { existing: "any" }),
      mapping(2, { existing: "never" }),
      mapping(3, { miss: "reject" }),
      mapping(4, { to: [{ ...destination, weight: 3 }] }),
      mapping(5, { to: to(7) }),
      mapping(6, { to: [...to(7), ...to(8)] }),
      mapping(7, { to: [{ ...destination, address: "::1" as Address }] }),
      mapping(8, { ports: [{ first: 443, last: 450 }] }),
      mapping(9, { protocol: "udp" }),
      mapping(12, { listeners: "anyone" }),
      mapping(13, { listeners: [{ user: 33 }] }),
    ];
    const rules = compiled([...mappings, mapping(10), mapping(11, { miss: "reject" })], asColumns);
    const byName = shapesByName(rules);
    const numbers = mappings.map(({ name }) => byName.get(name));
    expect(new Set(numbers.map(String)).size).toBe(mappings.length);
    expect(shapesOf(rules).count).toBe(mappings.length + 1);
    expect(byName.get("mapping 10")).toStrictEqual(byName.get("mapping 0"));
    expect(byName.get("mapping 11")).toStrictEqual(byName.get("mapping 3"));
  });

  test("are as many as the mappings where each leads elsewhere", () => {
    const count = 5000;
    const rules = compiled(
      Array.from({ length: count }, (_, n) => mapping(n, { to: to(n + 256) })),
      asColumns,
    );
    const shapes = shapesOf(rules);
    expect(shapes.count).toBe(count + 1);
    for (let i = 1; i <= count; i += 1) {
      expect(shapes.at(shapes.of[i] ?? 0, 0, []).first4).toBe(rules.rules.first4[i]);
    }
  });

  test("are one for each port of mappings that lead to the dialled port", () => {
    const same: Partial<Mapping> = {
      ports: [{ first: 80, last: 83 }],
      to: [{ address: "127.0.1.10" as Address, port: "same" }],
    };
    const byName = shapesByName(compiled([mapping(0, same), mapping(1, same)], asColumns));
    expect(new Set(byName.get("mapping 0")).size).toBe(4);
    expect(byName.get("mapping 1")).toStrictEqual(byName.get("mapping 0"));
  });
});

describe("targets", () => {
  const mappings = [mapping(0), mapping(1), mapping(2, { miss: "reject" })];
  const below = compiled(mappings);
  const place = { rules: 1000, steps: 2000, counters: 3000 };

  test("are shared rules with the counter of each mapping, behind what the other side has", () => {
    const targets = new TableTargets(below, place);
    const led = [1, 2, 3].map((rule) => [targets.value(rule), targets.counter(rule)]);
    const indexes = [...below.rules.mapping.subarray(1)];
    expect(led.map(([, counter]) => counter)).toStrictEqual(indexes.map((index) => 3000 + index));
    const values = new Map(indexes.map((index, i) => [index, led[i]?.[0]]));
    expect(values.get(0)).toBe(values.get(1));
    expect(values.get(2)).not.toBe(values.get(0));
    expect(new Set(values.values())).toStrictEqual(new Set([1001, 1002]));
  });

  test("are steps as they are, without a counter, and nothing as nothing", () => {
    const targets = new TableTargets(below, place);
    expect([targets.value(-7), targets.counter(-7)]).toStrictEqual([ILM_STEP + 2007, 0]);
    expect([targets.value(0), targets.counter(0)]).toStrictEqual([0, 0]);
  });

  test("of an overlay are its own or those of the tables below", () => {
    const own = compiled([mapping(9)]);
    const under = new TableTargets(below, { rules: 0, steps: 0, counters: 0 });
    const targets = new OverlayTargets(new TableTargets(own, place), under);
    expect([targets.value(OVERLAY_RULES), targets.counter(OVERLAY_RULES)]).toStrictEqual([
      1001, 3000,
    ]);
    expect([targets.value(2), targets.counter(2)]).toStrictEqual([
      under.value(2),
      under.counter(2),
    ]);
    expect([targets.value(0), targets.counter(0)]).toStrictEqual([0, 0]);
  });
});

describe("the place of the mapping that counts somewhere", () => {
  const layers = { protocols: [], mappings: 20_000, rules: 3, destinations: 5 };

  test("is where it counts, in tables without overlays", () => {
    for (const counter of [0, 7, 30_000]) expect(placeOfCounter(null, counter)).toBe(counter);
  });

  test.each([0, 1] as const)("is behind the file's for those of the overlay of side %d", (side) => {
    const { mappings: first } = offsets(layers, side);
    for (const index of [0, 1, 1023]) {
      expect(placeOfCounter(layers, first + index)).toBe(layers.mappings + index);
    }
    for (const counter of [0, 19_999]) expect(placeOfCounter(layers, counter)).toBe(counter);
  });
});
