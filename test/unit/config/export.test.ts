/** Exported rules, read again, are the rules that were exported. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type ExportFormat, writeConfiguration } from "../../../src/config/export.js";
import { IlmError } from "../../../src/errors.js";
import type { RuleSet } from "../../../src/model/rules.js";
import { diffRules } from "../../../src/rules/diff.js";
import { digestOfFile } from "../../../src/dataplane/description.js";
import { generateRules } from "../../oracle/generate.js";
import { random } from "../../support/random.js";
import { load } from "./support.js";

const formats: readonly ExportFormat[] = ["yaml", "json", "ndjson"];

function exported({ mappings, ...head }: RuleSet, format: ExportFormat): string {
  return [...writeConfiguration({ head, parts: [{ title: "", mappings }] }, format)].join("");
}

function expectSame(file: RuleSet, where: string): void {
  const rules = (one: RuleSet) => ({ sources: [], file: one, runtime: [] });
  for (const format of formats) {
    const text = exported(file, format);
    const again = load(text, `exported.${format}`).ruleSet;
    const difference = diffRules(rules(file), rules(again));
    for (const [kind, all] of Object.entries(difference)) {
      expect(all, `${where} as ${format}: ${kind}\n${text}`).toEqual([]);
    }
    expect(digestOfFile([], again), where).toBe(digestOfFile([], file));
  }
}

test("everything that a configuration can say comes back in each format", () => {
  const text = `
version: 1
engine: registry
mptcp: off
strangers: report
wildcard: { default: deny, units: { nginx.service: allow }, users: { "33": report } }
ula: fd5e:ed00:1::/48
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"], unit: nginx, publish: [80, 443, 53/udp], on: 203.0.113.7 }
  app: { address: [127.0.1.11, "fd5e:ed00::11"], user: www-data, group: 33, wildcard: rewrite, mptcp: off, publish: { 8080: 80 } }
  dns: { address: 127.0.1.53, handover: ingress, originate: true }
mappings:
  - { port: [22, "8000-8099"], to: "web:22" }
  - { name: given, protocol: udp, port: "*", on: 198.51.100.0/24, to: dns, handover: lookup }
  - { protocol: udp, port: 53, to: dns, from: [192.0.2.0/24, "2001:db8::/32"], interface: [eth0, lo] }
  - { port: 81, to: ["127.0.1.10:80", "web:80"], existing: any, miss: reject }
  - { port: 82, to: [{ address: web, weight: 3 }, { address: "app:1", weight: 1 }], listeners: anyone }
  - { port: 83, to: ["*:22", "app"], existing: never, listeners: [{ user: root }, { unit: a.service }] }
`;
  expectSame(load(text).ruleSet, "all");
});

test("the examples come back", () => {
  for (const name of readdirSync("examples").filter((one) => one.endsWith(".yaml"))) {
    expectSame(load(readFileSync(`examples/${name}`, "utf8"), name).ruleSet, name);
  }
});

test("random rules come back", () => {
  const chance = random();
  let compared = 0;
  for (let turn = 0; turn < 20; turn++) {
    const { file } = generateRules(chance, turn % 2 === 0);
    // As a file says them: what is refused there, such as families that never meet, cannot be read.
    const mappings = [...file.mappings].filter((one) => isWritable({ ...file, mappings: [one] }));
    compared += mappings.length;
    const text = exported({ ...file, mappings }, "json");
    expectSame(load(text, "random.json").ruleSet, `seed ${chance.seed}, turn ${turn}`);
  }
  expect(compared).toBeGreaterThan(100);
});

function isWritable(file: RuleSet): boolean {
  try {
    load(exported(file, "json"), "random.json");
    return true;
  } catch (error) {
    if (error instanceof IlmError && error.code === "CONFIGURATION") return false;
    throw error;
  }
}
