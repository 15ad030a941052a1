// Goal: a service whose wildcard binds are rewritten is reached in both families, by mappings that
// everything else understands.
import { expect, test } from "vitest";
import { candidates } from "../../../src/rules/candidates.js";
import { ruleSetOf } from "./support.js";

const file = (keys: string, more = ""): string => `version: 1
services:
  web: { user: 33, address: [127.0.1.10, "fd5e:ed00::10"], ${keys} }
${more}`;

const shown = (text: string): unknown[] =>
  ruleSetOf(text).mappings.map(({ name, to }) => [
    name,
    to.map(({ address, port, dualStack = false }) => [address, port, dualStack]),
  ]);

test("what it publishes leads there, and from its own IPv6 address to its IPv4 one", () => {
  expect(shown(file("wildcard: rewrite, publish: { 80: 8080, 81: 8080, 53/udp: 53 }"))).toEqual([
    [
      "tcp:80",
      [
        ["127.0.1.10", 8080, true],
        ["fd5e:ed00::10", 8080, false],
      ],
    ],
    ["tcp:8080@fd5e:ed00::10/128", [["127.0.1.10", "same", true]]],
    [
      "tcp:81",
      [
        ["127.0.1.10", 8080, true],
        ["fd5e:ed00::10", 8080, false],
      ],
    ],
    [
      "udp:53",
      [
        ["127.0.1.10", 53, true],
        ["fd5e:ed00::10", 53, false],
      ],
    ],
    ["udp:53@fd5e:ed00::10/128", [["127.0.1.10", "same", true]]],
  ]);
});

test("another policy makes no mapping more, and no destination dual-stack", () => {
  expect(shown(file("wildcard: deny, publish: 80"))).toEqual([
    [
      "tcp:80",
      [
        ["127.0.1.10", "same", false],
        ["fd5e:ed00::10", "same", false],
      ],
    ],
  ]);
});

test("IPv6 packets try its IPv6 address first, and then its IPv4 one; IPv4 packets the latter only", () => {
  const [mapping] = ruleSetOf(file("wildcard: rewrite, publish: 80")).mappings;
  if (mapping === undefined) throw new Error("there is no mapping");
  const tried = ([4, 6] as const).map((family) =>
    candidates(mapping, family).map(({ address }) => address),
  );
  expect(tried).toEqual([["127.0.1.10"], ["fd5e:ed00::10", "127.0.1.10"]]);
});

test("a mapping for IPv6 only may lead to its IPv4 address", () => {
  const only = 'mappings: [{ port: 80, on: "2001:db8::/32", to: 127.0.1.10 }]\n';
  expect(shown(file("wildcard: rewrite", only))).toEqual([
    ["tcp:80@2001:db8::/32", [["127.0.1.10", "same", true]]],
  ]);
});
