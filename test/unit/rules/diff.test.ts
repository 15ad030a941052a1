// Goal: a change of who owns a service, and of who may listen, is a change, whatever it is that
// changes; the order of what has none is none.
import { expect, test } from "vitest";
import type { Service } from "../../../src/model/mapping.js";
import type { Settings } from "../../../src/model/rules.js";
import { diffRules } from "../../../src/rules/diff.js";
import { findMoves } from "../../../src/rules/moves.js";
import { address, mapping, prefix, ruleSet, rules } from "../daemon/fixtures.js";

const web: Service = {
  name: "web",
  addresses: [address("127.0.1.10")],
  origin: { file: "a.yaml", line: 3, column: 3 },
};

function settingsBetween(
  before: Settings & { readonly services?: readonly Service[] },
  after: Settings & { readonly services?: readonly Service[] },
) {
  return diffRules(rules({ ...ruleSet(), ...before }), rules({ ...ruleSet(), ...after })).settings;
}

test("settings of the host that change are named, with their values", () => {
  expect(
    settingsBetween(
      {},
      {
        mptcp: "off",
        strangers: "report",
        wildcard: { default: "report", units: { "nginx.service": "allow" }, users: { 33: "deny" } },
        ula: prefix("fd5e:ed00:1::/48"),
      },
    ),
  ).toEqual([
    { name: "mptcp", before: "on", after: "off" },
    { name: "strangers", before: "default", after: "report" },
    { name: "wildcard", before: "allow", after: "report, nginx.service allow, 33 deny" },
    { name: "ula", before: "default", after: "fd5e:ed00:1::/48" },
  ]);
  expect(settingsBetween({}, { engine: "auto", mptcp: "on" })).toEqual([]);
});

test("the owner of a service that changes is named key by key", () => {
  const owned: Service = {
    ...web,
    owner: { unit: "nginx.service", user: 33 },
    mptcp: "off",
    wildcard: "deny",
  };
  expect(settingsBetween({ services: [web] }, { services: [owned] })).toEqual([
    { name: "services.web.unit", before: "any", after: "nginx.service" },
    { name: "services.web.user", before: "any", after: "33" },
    { name: "services.web.mptcp", before: "on", after: "off" },
    { name: "services.web.wildcard", before: "default", after: "deny" },
  ]);
});

test("a description that changes is shown as one, and moves no connection", () => {
  const before = mapping("web");
  const after = mapping("web", { description: "the shop" });
  const difference = diffRules(rules(ruleSet(before)), rules(ruleSet(after)));
  expect(difference.changed).toEqual([{ before, after, fields: ["description"] }]);
  expect(findMoves(rules(ruleSet(before)), rules(ruleSet(after)), difference).moves).toEqual([]);
  expect(
    settingsBetween({ services: [web] }, { services: [{ ...web, description: "PHP" }] }),
  ).toEqual([{ name: "services.web.description", before: "none", after: "PHP" }]);
});

test("a mapping with other listeners is the same mapping, changed", () => {
  const before = mapping("web");
  const after = mapping("web", { listeners: [{ user: "app" }] });
  const { added, removed, changed } = diffRules(rules(ruleSet(before)), rules(ruleSet(after)));
  expect([added, removed]).toEqual([[], []]);
  expect(changed).toEqual([{ before, after, fields: ["listeners"] }]);
});
