// Goal: a mapping is healthy when somebody gets what is dialled over each family that it is for,
// at each of its destinations; what refuses, is drained or is over has a state of its own.
import { describe, expect, test } from "vitest";
import type { Drained } from "../../../src/model/drained.js";
import type { Mapping } from "../../../src/model/mapping.js";
import { healthOf, isDown } from "../../../src/rules/health.js";
import { listener } from "../cli/fixtures.js";
import { rules } from "../daemon/fixtures.js";
import { ruleSetOf } from "../config/support.js";

const file = `version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"] }
  canary: { address: 127.0.1.11 }
mappings:
`;

interface Given {
  readonly to: string;
  readonly listening: readonly string[];
  readonly more?: string;
  readonly drained?: readonly Partial<Drained>[];
  readonly until?: number;
}

const nothing: Drained = { protocol: null, address: null, service: null, port: null };

function given({ to, listening, more = "", drained = [], until }: Given) {
  const set = ruleSetOf(`${file}  - { name: app, port: 80, to: ${to}${more} }\n`);
  const mappings = set.mappings.map((mapping): Mapping =>
    until === undefined ? mapping : { ...mapping, until },
  );
  const active = {
    ...rules({ ...set, mappings: [] }, mappings),
    drained: drained.map((one) => ({ ...nothing, ...one })),
  };
  const listeners = listening.map((address) => listener(address, 80));
  const health = healthOf(active, { listeners, selects: () => true, now: 100 });
  const { state, gaps, down } = health.at(0);
  const short = { state, gaps: gaps.map(({ family }) => family), down };
  return { health, short, isDown: isDown(health.at(0)) };
}

const four = "127.0.1.10";
const six = "fd5e:ed00::10";
const canary = "127.0.1.11";
const weighted = "[{ address: web, weight: 3 }, { address: canary, weight: 1 }]";

describe("a mapping", () => {
  test.each<[string, Given, ReturnType<typeof given>["short"], boolean]>([
    [
      "that has everybody is served",
      { to: weighted, listening: [four, six, canary] },
      { state: "served", gaps: [], down: [] },
      false,
    ],
    [
      "of which one of several is down is degraded, and not down",
      { to: weighted, listening: [four, six] },
      { state: "served", gaps: [], down: [2] },
      false,
    ],
    [
      "without a listener for one family is down",
      { to: "web", listening: [four] },
      { state: "served", gaps: [6], down: [] },
      true,
    ],
    [
      "that is dialled over one family has no need of the other",
      { to: "web", listening: [four], more: ", on: 192.0.2.0/24" },
      { state: "served", gaps: [], down: [] },
      false,
    ],
    [
      "that is dialled over a family for which nobody listens is unserved",
      { to: "web", listening: [six], more: ", from: 192.0.2.0/24" },
      { state: "unserved", gaps: [], down: [] },
      true,
    ],
    [
      "of the wildcard has no family that somebody could miss",
      { to: '"*"', listening: ["0.0.0.0"] },
      { state: "served", gaps: [], down: [] },
      false,
    ],
    [
      "with the wildcard in reserve is whole without it",
      { to: `["${four}", "*"]`, listening: [four] },
      { state: "served", gaps: [], down: [] },
      false,
    ],
    [
      "without anybody is unserved",
      { to: weighted, listening: [] },
      { state: "unserved", gaps: [], down: [] },
      true,
    ],
    [
      "all of whose destinations are drained is drained, whoever listens",
      { to: "web", listening: [four, six], drained: [{ service: "web" }] },
      { state: "drained", gaps: [], down: [] },
      true,
    ],
    [
      "whose weights are all 0 is drained",
      { to: "[{ address: web, weight: 0 }]", listening: [four, six] },
      { state: "drained", gaps: [], down: [] },
      true,
    ],
    [
      "that has only drained destinations left is unserved",
      { to: weighted, listening: [canary], drained: [{ service: "canary" }] },
      { state: "unserved", gaps: [], down: [] },
      true,
    ],
    [
      "whose drained destination is down misses nobody",
      { to: weighted, listening: [four, six], drained: [{ service: "canary" }] },
      { state: "served", gaps: [], down: [] },
      false,
    ],
    [
      "that refuses on purpose is not down",
      { to: "none", listening: [] },
      { state: "refusal", gaps: [], down: [] },
      false,
    ],
    [
      "whose time is over is none",
      { to: "web", listening: [], until: 100 },
      { state: "over", gaps: [], down: [] },
      false,
    ],
    [
      "whose time is not over is one",
      { to: "web", listening: [], until: 101 },
      { state: "unserved", gaps: [], down: [] },
      true,
    ],
  ])("%s", (_title, what, short, down) => {
    const found = given(what);
    expect(found.short).toEqual(short);
    expect(found.isDown).toBe(down);
  });
});

test("a service is there when each of its own addresses has a listener, whoever else serves", () => {
  const { health } = given({ to: weighted, listening: [four, six] });
  expect(health.listensFor(0, "web")).toBe(true);
  expect(health.listensFor(0, "canary")).toBe(false);
  expect(given({ to: "web", listening: [four] }).health.listensFor(0, "web")).toBe(false);
});
