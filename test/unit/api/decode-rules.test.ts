// Goal: what is said over the socket about owners is checked again, and taken in one form only.
import { expect, test } from "vitest";
import { mapping as decodeMapping, ruleSet as decodeRules } from "../../../src/api/decode-rules.js";
import { mapping } from "../daemon/fixtures.js";

const service = {
  name: "web",
  addresses: ["127.0.1.10"],
  origin: { file: "a.yaml", line: 1, column: 1 },
};
const withService = (changes: object): unknown => ({
  services: [{ ...service, ...changes }],
  mappings: [],
});
const withSettings = (settings: object): unknown => ({ ...settings, services: [], mappings: [] });

test("owners, listeners and policies in their one form are taken as they are", () => {
  for (const rules of [
    withService({ owner: { unit: "nginx.service", user: 0, group: "adm" }, wildcard: "deny" }),
    withService({ owner: { user: "app" }, mptcp: "off" }),
    withSettings({ strangers: "refuse", ula: "fd5e:ed00:1::/48" }),
    withSettings({ wildcard: { default: "deny", users: { "33": "allow", app: "deny" } } }),
  ]) {
    expect(JSON.stringify(decodeRules(rules, ""))).toHaveLength(JSON.stringify(rules).length);
    expect(decodeRules(rules, "")).toEqual(rules);
  }
  for (const listeners of ["anyone", [{ unit: "a.service" }, { user: 1 }]] as const) {
    const value = mapping("web", { listeners });
    expect(decodeMapping(value, "")).toEqual(value);
  }
});

test("anything else is refused by its place", () => {
  const rows: readonly (readonly [rules: unknown, problem: string])[] = [
    [withService({ owner: {} }), "services[0].owner: must have a unit, a user or a group"],
    [withService({ owner: { unit: "nginx" } }), "services[0].owner.unit: must be the name of"],
    [withService({ owner: { user: -1 } }), "services[0].owner.user: must be 0 to 4294967294"],
    [withService({ owner: { group: "33" } }), "services[0].owner.group: must be a name or"],
    [withService({ owner: { uid: 1 } }), "uid"],
    [withService({ mptcp: "on" }), "services[0].mptcp: must be one of off"],
    [withSettings({ strangers: "deny" }), "strangers: must be one of refuse, report, allow"],
    [withSettings({ wildcard: { units: {} } }), "wildcard.units: must have names"],
    [withSettings({ wildcard: { units: { nginx: "deny" } } }), "wildcard.units: must have names"],
    [withSettings({ wildcard: { users: { b: "deny", a: "deny" } } }), "sorted by name"],
    [withSettings({ wildcard: { users: { a: "rewrite" } } }), "wildcard.users.a: must be one of"],
  ];
  for (const [rules, problem] of rows) {
    expect(() => decodeRules(rules, ""), problem).toThrow(problem);
  }
  for (const listeners of [
    [],
    "all",
    [{ user: 1 }, { user: 1 }],
    [{ user: 1 }, { unit: "a.service" }],
  ]) {
    expect(() => decodeMapping({ ...mapping("web"), listeners }, "")).toThrow("listeners");
  }
});
