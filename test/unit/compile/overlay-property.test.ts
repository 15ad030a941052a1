// Goal: tables and what lies over them decide every packet as the tables of all of it would.
import { DrainedPlaces } from "../../../src/rules/drained.js";
import { Permits } from "../../../src/rules/permits.js";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compiledBase } from "../../../src/compile/base.js";
import { tryCompile } from "../../../src/compile/compile.js";
import { type Above, type Overlay, compileOverlay } from "../../../src/compile/overlay.js";
import type { Compiled, PrefixTable } from "../../../src/compile/tables.js";
import { mayHaveHidden } from "../../../src/compile/gone.js";
import { addressBytes, familyOf } from "../../../src/model/address.js";
import { type Mapping, type Protocol } from "../../../src/model/mapping.js";
import { emptyRules } from "../../../src/model/rules.js";
import { toColumns } from "../../../src/model/mapping-columns.js";
import { portsContain } from "../../../src/model/ports.js";
import { longest, readTables } from "../../support/read-tables.js";
import { address, mapping, prefix } from "../daemon/fixtures.js";

/** Without services. */
const around = { permits: new Permits([]), drained: new DrainedPlaces([], []) };

const portSets = [
  [{ first: 80, last: 80 }],
  [{ first: 80, last: 81 }],
  [{ first: 79, last: 82 }],
  [
    { first: 79, last: 79 },
    { first: 82, last: 83 },
  ],
];
const prefixes = [
  "10.0.0.1/32",
  "10.0.0.2/32",
  "10.0.0.0/30",
  "10.0.0.0/16",
  "2001:db8::1/128",
  "2001:db8::/64",
  "::/1",
];
const locals = [
  "10.0.0.1",
  "10.0.0.2",
  "10.0.0.3",
  "10.0.9.9",
  "11.0.0.1",
  "2001:db8::1",
  "2001:db8::2",
  "3::3",
  "f000::1",
];

const anyMapping = fc.record({
  protocol: fc.constantFrom<Protocol>("tcp", "tcp", "udp"),
  ports: fc.constantFrom(...portSets),
  on: fc.uniqueArray(fc.constantFrom(...prefixes), { maxLength: 3 }),
  port: fc.constantFrom("same" as const, 8080),
  where: fc.constantFrom("stays", "goes", "comes", "moves", "runtime"),
});

const rulesOf = (mappings: readonly Mapping[]): typeof emptyRules => ({
  ...emptyRules,
  file: { services: [], mappings },
});

const isSound = (mappings: readonly Mapping[]): boolean =>
  tryCompile(rulesOf(mappings)).problems.length === 0;

/** Returns the length of the owner's longest prefix around the address, or 0. */
function lengthAround(table: PrefixTable, owner: number, bytes: Uint8Array, ipv6: boolean): number {
  const lengths = { ...table, target: Int32Array.from(table.length) };
  return longest(lengths, owner, bytes, ipv6) ?? 0;
}

/** As the program reads them: bpf/match.h, find_overlaid. */
function readOverlaid(
  below: Compiled,
  { compiled, classes, exact, prefixes: over, levels }: Overlay,
  { protocol, local, localPort }: { protocol: Protocol; local: string; localPort: number },
  firstRule: number,
): Mapping | undefined {
  const owner =
    classes.findIndex((one) => one.protocol === protocol && one.ports.includes(localPort)) + 1;
  const nameOf = (rule: number): Mapping | undefined =>
    rule === 0
      ? undefined
      : rule >= firstRule
        ? compiled.mappings.at(compiled.rules.mapping[rule - firstRule + 1] ?? -1)
        : below.mappings.at(below.rules.mapping[rule] ?? -1);
  const found = classes[owner - 1];
  if (found === undefined) {
    const index = below.classes.findIndex(
      (one) => one.protocol === protocol && portsContain(one.ranges, localPort),
    );
    if (index < 0) return undefined;
    return readTables(below, {
      protocol,
      local: address(local),
      localPort,
      remote: address(local),
      interface: "x",
    });
  }
  const bytes = addressBytes(address(local));
  const ipv6 = familyOf(address(local)) === 6;
  const mine = longest(exact, owner, bytes, ipv6);
  if (mine !== undefined && mine !== 0) return nameOf(mine);
  if (mine === undefined && found.below?.hasExact === true) {
    const rule = longest(below.exact, found.below.number, bytes, ipv6);
    if (rule !== undefined) return nameOf(rule);
  }
  expect(levels).toHaveLength(over.count);
  const number = found.below?.number ?? 0;
  const [above, under] = [
    lengthAround(over, owner, bytes, ipv6),
    lengthAround(below.prefixes, number, bytes, ipv6),
  ];
  if (above > 0 && above >= under) return nameOf(longest(over, owner, bytes, ipv6) ?? 0);
  if (under > 0) return nameOf(longest(below.prefixes, number, bytes, ipv6) ?? 0);
  return nameOf(found.fallback[ipv6 ? 6 : 4]);
}

test("an overlay of what comes, goes and moves decides as the whole", () => {
  let laid = 0;
  fc.assert(
    fc.property(fc.array(anyMapping, { minLength: 1, maxLength: 7 }), (drawn) => {
      const all = drawn.map(({ protocol, ports, on, port, where }, index) => ({
        where,
        made: mapping(`m${index}`, {
          protocol,
          ports,
          on: on.map((text) => prefix(text)),
          to: [
            { address: address("127.0.1.10"), port },
            { address: address("fd5e:ed00::10"), port },
          ],
        }),
      }));
      const elsewhere = (made: Mapping): Mapping => ({
        ...made,
        to: [
          { address: address("127.0.1.11"), port: 1 },
          { address: address("fd5e:ed00::11"), port: 1 },
        ],
      });
      const of = (...kinds: readonly string[]): typeof all =>
        all.filter(({ where }) => kinds.includes(where));
      const before = of("stays", "goes", "moves").map(({ made }) => made);
      const after = of("stays", "comes").map(({ made }) => made);
      const moved = of("moves").map(({ made }) => elsewhere(made));
      const runtime = of("runtime").map(({ made }) => made);
      const whole = [...after, ...moved, ...runtime];
      if (!isSound(before) || !isSound(whole)) return;
      const below = tryCompile(rulesOf(before)).compiled;
      const removed = of("stays", "goes", "moves").flatMap(({ where, made }, index) =>
        where === "stays" ? [] : [{ index, mapping: made }],
      );
      const gone = new Set(removed.map(({ index }) => index));
      const goneMappings = removed.map((one) => one.mapping);
      if (mayHaveHidden(goneMappings, toColumns(before), (index) => gone.has(index))) return;
      const added = [...of("comes").map(({ made }) => made), ...moved];
      const above: Above = { added, removed, runtime };
      const overlay = compileOverlay(above, compiledBase(below), below.rules.count, around);
      if (overlay === null) return;
      laid++;
      const all2 = tryCompile(rulesOf(whole)).compiled;
      for (const protocol of ["tcp", "udp"] as const) {
        for (const local of locals) {
          for (const localPort of [79, 80, 81, 82, 83, 84]) {
            const packet = {
              protocol,
              local: address(local),
              localPort,
              remote: address(local),
              interface: "x",
            };
            const expected = readTables(all2, packet);
            const found = readOverlaid(below, overlay, packet, below.rules.count);
            expect(found?.name, JSON.stringify(packet)).toBe(expected?.name);
            expect(found?.to).toEqual(expected?.to);
          }
        }
      }
    }),
    { numRuns: 1500 },
  );
  expect(laid).toBeGreaterThan(20);
});
