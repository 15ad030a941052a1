/**
 * The examples that people copy are right: examples/, and every block of the reference and of the
 * page on daemons.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { loadConfiguration } from "../../../src/config/load.js";
import { configuration, mappingEntry, serviceEntry } from "../../../src/config/schema.js";
import { parseMappingArgument } from "../../../src/config/argument.js";
import { load, meaning, problemsOf } from "./support.js";

const top = fileURLToPath(new URL("../../../", import.meta.url));
const reference = readFileSync(`${top}docs/configuration.md`, "utf-8");

const daemons = readFileSync(`${top}docs/daemons.md`, "utf-8");

function blocks(language: string, page = reference): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm");
  return [...page.matchAll(fence)].map(([, text = ""]) => text);
}

describe("every example file is valid, without a warning", () => {
  test.each(readdirSync(`${top}examples`))("examples/%s", async (name) => {
    const { ruleSet, warnings } = await loadConfiguration(`${top}examples/${name}`);
    expect(warnings).toEqual([]);
    expect(ruleSet.mappings.length).toBeGreaterThan(0);
  });
});

test("the demo's example has the services and ports that the demo shows", async () => {
  const { services, mappings } = (await loadConfiguration(`${top}examples/demo.yaml`)).ruleSet;
  expect(services.map(({ name }) => name)).toEqual(["web", "dns", "ssh", "shop", "blog"]);
  expect(mappings.map(({ name }) => name)).toEqual([
    "tcp:80@203.0.113.3/32,2001:db8::3/128",
    "tcp:80@fd5e:ed00::80/128",
    "tcp:80@203.0.113.4/32,2001:db8::4/128",
    "tcp:80@fd5e:ed00::81/128",
    "tcp:80",
    "tcp:8080",
    "tcp:53",
    "udp:53",
    "tcp:2222",
  ]);
});

describe("every configuration that README and docs show is valid", () => {
  const pages = ["README.md", ...readdirSync(`${top}docs`).map((name) => `docs/${name}`)];
  const shown = pages
    .filter((page) => page.endsWith(".md"))
    .flatMap((page) =>
      blocks("yaml", readFileSync(`${top}${page}`, "utf-8")).map((text) => [page, text] as const),
    );
  test("and there are many", () => {
    expect(shown.length).toBeGreaterThan(24);
  });
  test.each(shown)("%s %j", (_, text) => {
    // A part of a configuration has no version.
    const whole = /^version:/m.test(text) ? text : `version: 1\n${text}`;
    expect(load(whole, "shown.yaml").ruleSet).toBeDefined();
  });
});

describe("every JSON of the reference is valid", () => {
  const all = blocks("json").map((text) => ["rules.json", text] as const);
  test.each(all)("%s %j", (name, text) => {
    expect(load(text, name).ruleSet).toBeDefined();
  });
});

test("each of the three ways to reach a daemon is shown with rules that are valid", () => {
  const shown = blocks("yaml", daemons);
  expect(shown.length).toBe(3);
  for (const text of shown) expect(load(text).ruleSet.mappings.length, text).toBeGreaterThan(0);
});

test("what services publish in the reference is the same as the mappings that it shows beside", () => {
  const [short, long, ...more] = blocks("yaml").filter((text) => text.includes("ghost.service"));
  expect(more).toEqual([]);
  const meaningOf = (text = "") => load(text).ruleSet.mappings.map(meaning);
  expect(meaningOf(short)).toEqual(meaningOf(long));
  expect(meaningOf(short).length).toBe(5);
});

test("the errors shown in the reference are the ones that come", () => {
  const text = [
    "version: 1",
    "services:",
    "  web:",
    "    address: 127.0.1",
    "mappings:",
    "  - prot: udp",
    "    port: 100-80",
    "    to: web",
  ].join("\n");
  expect(`${problemsOf(text).join("\n")}\n`).toBe(blocks("text")[0]);
});

test("the arguments shown in the reference are valid", () => {
  const section = reference.slice(reference.indexOf("## Mappings as arguments"));
  const shown = [...section.matchAll(/^\| `([^`]+=[^`]+)` \|/gm)].map(([, text = ""]) => text);
  expect(shown.length).toBeGreaterThan(5);
  const { services } = load(
    'version: 1\nservices: { web: { address: 127.0.1.10 }, dns: { address: "fd5e::53" } }',
  ).ruleSet;
  for (const text of shown) {
    expect(parseMappingArgument(text, services).length, text).toBeGreaterThan(0);
  }
});

test("the reference has every key", () => {
  const entries = [mappingEntry, serviceEntry, configuration];
  for (const key of entries.flatMap(({ shape }) => Object.keys(shape))) {
    if (key !== "$schema") expect(reference).toMatch(new RegExp(`^\\| \\[?\`${key}\``, "m"));
  }
});

test("ilm.yaml(5) has every key", () => {
  const page = readFileSync(`${top}man/ilm.yaml.5`, "utf-8");
  const sections: readonly (readonly [string, object])[] = [
    ["THE DOCUMENT", configuration.shape],
    ["SERVICES", serviceEntry.shape],
    ["MAPPINGS", mappingEntry.shape],
  ];
  for (const [title, shape] of sections) {
    const [, text = ""] = page.split(`.SH ${title}\n`);
    const shown = [...(text.split("\n.SH ")[0] ?? "").matchAll(/^\\fB(\S+)\\fR(?: |$)/gm)];
    expect(shown.map(([, key]) => key)).toEqual(expect.arrayContaining(Object.keys(shape)));
  }
});
