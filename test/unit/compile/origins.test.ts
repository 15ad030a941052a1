/** Where a service's own datagrams leave from. */
import { expect, test } from "vitest";
import { checkRules, compile } from "../../../src/compile/compile.js";
import { load } from "../config/support.js";
import type { Rules } from "../../../src/model/rules.js";

function rules(mappings: readonly string[]): Rules {
  const text = [
    "version: 1",
    "services:",
    '  trunk: { address: [127.0.1.70, "fd5e:ed00::70"], originate: true }',
    "mappings:",
    ...mappings.map((mapping) => `  - ${mapping}`),
    "",
  ].join("\n");
  return { sources: [], file: load(text, "rules.yaml").ruleSet, runtime: [] };
}

function refusals(...mappings: readonly string[]): string[] {
  return checkRules(rules(mappings))
    .filter(({ severity }) => severity === "error")
    .map(({ path, message }) => `${path}: ${message}`);
}

const one = '{ protocol: udp, port: 5061, on: [203.0.113.5, "2001:db8::5"], to: "trunk:5060" }';

test("they leave from the one address and port that lead to it, of each family", () => {
  const { endpoints } = compile(rules([one, '{ port: 5060, to: "trunk:5060" }']));
  expect(endpoints.filter(({ origin }) => origin !== undefined)).toMatchObject([
    {
      protocol: "udp",
      address: "127.0.1.70",
      port: 5060,
      origin: { address: "203.0.113.5", port: 5061 },
    },
    {
      protocol: "udp",
      address: "fd5e:ed00::70",
      port: 5060,
      origin: { address: "2001:db8::5", port: 5061 },
    },
  ]);
});

test.each([
  ["any address leads to it", "{ protocol: udp, port: 5060, to: trunk }"],
  ["a prefix leads to it", "{ protocol: udp, port: 5060, on: 203.0.113.0/24, to: trunk }"],
  [
    "several ports lead to it",
    '{ protocol: udp, port: 5060-5061, on: 203.0.113.5, to: "trunk:5060" }',
  ],
  [
    "not everybody is led to it",
    "{ protocol: udp, port: 5060, on: 203.0.113.5, from: 198.51.100.0/24, to: trunk }",
  ],
])("it is refused when %s", (_, mapping) => {
  expect(refusals(mapping)[0]).toMatch(
    /^service trunk: its datagrams should leave from the address and port that lead to it, and the mapping .* has more than one address or port, or does not cover all clients$/,
  );
});

test("it is refused when two addresses lead to one port of it", () => {
  expect(refusals(one, "{ protocol: udp, port: 5060, on: 203.0.113.6, to: trunk }")).toEqual([
    "service trunk: its datagrams should leave from the address and port that lead to it, and there are two: 203.0.113.5 port 5061, and 203.0.113.6 port 5060",
  ]);
});

test("it is refused when no mapping of UDP leads to it", () => {
  expect(refusals("{ port: 5060, to: trunk }")).toEqual([
    "service trunk: its datagrams should leave from the address and port that lead to it, and no UDP mapping leads to it",
  ]);
});
