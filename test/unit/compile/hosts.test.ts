// Goal: rules come to the same whether their whole addresses are compiled as numbers or as all
// other prefixes are.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Outcome, tryCompile } from "../../../src/compile/compile.js";
import { HostTable } from "../../../src/compile/hosts.js";
import { toColumns } from "../../../src/model/mapping-columns.js";
import type { Mapping } from "../../../src/model/mapping.js";
import type { Rules } from "../../../src/model/rules.js";
import { readTables } from "../../support/read-tables.js";
import { address, mapping, prefix } from "../daemon/fixtures.js";

const addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "203.0.113.200", "fd00::1"];
const prefixes = [...addresses, "10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.0/8", "::/0"];
const portSets = [
  [{ first: 80, last: 80 }],
  [{ first: 80, last: 81 }],
  [{ first: 80, last: 400 }],
  [{ first: 81, last: 81 }],
  [
    { first: 80, last: 80 },
    { first: 443, last: 443 },
  ],
];
const sources = [["192.0.2.0/24"], ["192.0.2.1/32", "::/0"]];

const anyMappings: fc.Arbitrary<Mapping[]> = fc
  .array(
    fc.record({
      protocol: fc.constantFrom("tcp" as const, "tcp" as const, "udp" as const),
      ports: fc.constantFrom(...portSets),
      on: fc.uniqueArray(fc.constantFrom(...prefixes), { maxLength: 2 }),
      from: fc.option(fc.constantFrom(...sources), { freq: 4 }),
      port: fc.constantFrom("same" as const, 8080),
    }),
    { maxLength: 8 },
  )
  .map((list) =>
    list.map(({ protocol, ports, on, from, port }, index) =>
      mapping(`m${index}`, {
        protocol,
        ports,
        on: on.map((text) => prefix(text)),
        ...(from !== null && { from: from.map((text) => prefix(text)) }),
        to: [
          { address: address("127.0.1.10"), port },
          { address: address("fd5e:ed00::10"), port },
        ],
        origin: { file: "a.yaml", line: index + 1, column: 1 },
      }),
    ),
  );

const rulesOf = (mappings: Rules["file"]["mappings"]): Rules => ({
  sources: [],
  file: { services: [], mappings },
  runtime: [],
});

/** Compiled as columns, and as objects; their problems are the same. */
function compareProblems(list: readonly Mapping[]): readonly [Outcome, Outcome] {
  const columns = tryCompile(rulesOf(toColumns(list)));
  const objects = tryCompile(rulesOf(list));
  const inOrder = ({ problems }: Outcome): string[] =>
    problems.map((problem) => JSON.stringify(problem)).toSorted();
  expect(inOrder(columns)).toEqual(inOrder(objects));
  return [columns, objects];
}

describe("columns and objects", () => {
  test("give the same problems, and lead each packet to the same mapping", () => {
    fc.assert(
      fc.property(anyMappings, (list) => {
        const [columns, objects] = compareProblems(list);
        if (objects.problems.some(({ severity }) => severity === "error")) return;
        for (const protocol of ["tcp", "udp"] as const) {
          for (const local of [...addresses, "10.9.9.9", "8.8.8.8"]) {
            for (const localPort of [80, 81, 200, 443]) {
              for (const remote of ["192.0.2.1", "192.0.2.9", "1.1.1.1", "2001:db8::1"]) {
                if (local.includes(":") !== remote.includes(":")) continue;
                const packet = {
                  protocol,
                  local: address(local),
                  localPort,
                  remote: address(remote),
                  interface: "eth0",
                };
                const [found, expected] = [columns, objects].map(
                  ({ compiled }) => readTables(compiled, packet)?.name,
                );
                expect(found, JSON.stringify(packet)).toBe(expected);
              }
            }
          }
        }
      }),
      { numRuns: 600 },
    );
  });

  const on = (name: string, ...list: readonly string[]): Mapping =>
    mapping(name, { on: list.map((text) => prefix(text)) });

  test("give the warning of a prefix that whole addresses fill", () => {
    const list = [on("a", "10.0.0.2"), on("b", "10.0.0.3"), on("all", "10.0.0.2/31")];
    const [{ problems }] = compareProblems(list);
    expect(problems).toMatchObject([{ severity: "warning", path: "mapping all" }]);
  });

  test("name those that fill a prefix in the order of the file", () => {
    const wide = { ...on("wide", "10.0.0.2"), ports: [{ first: 80, last: 81 }] };
    const list = [on("all", "10.0.0.2/31"), on("b", "10.0.0.3"), wide];
    const [{ problems }] = compareProblems(list);
    const message = problems[0]?.message ?? "";
    expect(message.indexOf(" b ")).toBeGreaterThan(0);
    expect(message.indexOf(" wide ")).toBeGreaterThan(message.indexOf(" b "));
  });

  test("give the tie of two with one address, and of a list with one of its addresses", () => {
    const [two] = compareProblems([on("a", "10.0.0.1"), on("b", "10.0.0.1")]);
    expect(two.problems).toMatchObject([{ severity: "error", path: "mapping b" }]);
    const [inList] = compareProblems([on("a", "10.0.0.1"), on("b", "10.0.0.1", "10.0.0.2")]);
    expect(inList.problems).toMatchObject([{ severity: "error", path: "mapping b" }]);
  });

  test("let the smaller set of ports win of two with one address", () => {
    const list = [
      { ...on("wide", "10.0.0.1"), ports: [{ first: 1, last: 1000 }] },
      { ...on("narrow", "10.0.0.1"), ports: [{ first: 80, last: 80 }] },
    ];
    for (const { compiled } of compareProblems(list)) {
      const ask = (localPort: number): string | undefined =>
        readTables(compiled, {
          protocol: "tcp",
          local: address("10.0.0.1"),
          localPort,
          remote: address("192.0.2.1"),
          interface: "eth0",
        })?.name;
      expect([ask(80), ask(81), ask(1001)]).toEqual(["narrow", "wide", undefined]);
    }
  });
});

test("a table of addresses finds who put one first, however many there are", () => {
  const table = new HostTable(100_000);
  const numbers = Array.from({ length: 100_000 }, (_, i) => (i % 2 === 0 ? i * 65_536 : i) >>> 0);
  const first = new Map<number, number>();
  numbers.forEach((number, index) => {
    expect(table.put(number, index)).toBe(first.get(number));
    if (!first.has(number)) first.set(number, index);
  });
});
