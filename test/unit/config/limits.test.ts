/**
 * Sizes: large sets load, in time that grows with them and not with their square, and nonsense of
 * any size is refused.
 */
import { describe, expect, test } from "vitest";

import { problemsOf, ruleSetOf } from "./support.js";

/** An IPv4 address of its own for each index. */
function address(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

function mappings(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    port: 1 + (index % 65535),
    on: address(index),
    to: `127.0.1.${1 + (index % 250)}:80`,
  }));
}

/**
 * Ten times what a small, busy machine needs; what grows with the square needs a hundred times
 * more.
 */
const patience_ms = 20_000;

test("20,000 mappings of YAML load", { timeout: patience_ms }, () => {
  const lines = mappings(20_000).map(
    ({ port, on, to }) => `  - { port: ${port}, on: ${on}, to: "${to}" }`,
  );
  const { mappings: loaded } = ruleSetOf(`version: 1\nmappings:\n${lines.join("\n")}\n`);
  expect(loaded).toHaveLength(20_000);
  expect(loaded.at(19_999)?.origin.line).toBe(20_002);
});

test("100,000 mappings of JSON load", { timeout: patience_ms }, () => {
  const text = JSON.stringify({ version: 1, mappings: mappings(100_000) });
  expect(ruleSetOf(text, "rules.json").mappings).toHaveLength(100_000);
});

test("20,000 services load", { timeout: patience_ms }, () => {
  const names = Array.from({ length: 20_000 }, (_, index) => `s${index}`);
  const lines = names.map((name, index) => `  ${name}: { address: ${address(index + 1)} }`);
  const { services } = ruleSetOf(`version: 1\nservices:\n${lines.join("\n")}\n`);
  expect(services).toHaveLength(20_000);
  expect(services[19_999]?.origin).toEqual({ file: "rules.yaml", line: 20_002, column: 3 });
});

test("20,000 names of services that are not there are reported", { timeout: patience_ms }, () => {
  const services = Object.fromEntries(
    Array.from({ length: 5000 }, (_, index) => [
      `service-${index}`,
      { address: address(index + 1) },
    ]),
  );
  const unknown = Array.from({ length: 20_000 }, (_, index) => ({
    port: 80,
    to: `servic-${index}`,
  }));
  const problems = problemsOf(
    JSON.stringify({ version: 1, services, mappings: unknown }),
    "rules.json",
  );
  expect(problems).toHaveLength(101);
  expect(problems[0]).toMatch(/did you mean service-0\?$/);
});

test("more YAML than 16 MiB is refused with the faster way", () => {
  expect(problemsOf(`version: 1\n# ${"x".repeat(16 * 1024 * 1024)}\n`)).toEqual([
    "rules.yaml: the file has 16.1 MiB of YAML, and at most 16 MiB are read; write it as JSON, which is read a hundred times faster",
  ]);
});

describe("nonsense is refused", () => {
  test.each([
    ["brackets", "[".repeat(50_000)],
    ["balanced brackets", `${"[".repeat(5000)}${"]".repeat(5000)}`],
    ["braces", "{a: ".repeat(10_000)],
    ["dashes", "- ".repeat(20_000)],
    ["question marks", "? ".repeat(20_000)],
    ["anchors", "&a ".repeat(10_000)],
    ["quotes", '"'.repeat(20_001)],
    ["colons", "a:".repeat(30_000)],
    ["tabs", `${"\t".repeat(50_000)}a`],
    ["stairs", Array.from({ length: 2000 }, (_, index) => `${" ".repeat(index)}a:`).join("\n")],
    ["deep JSON", `{"version": ${"[".repeat(200_000)}${"]".repeat(200_000)}}`],
    ["a very long line", `version: ${"1".repeat(1_000_000)}`],
    ["a very long key", `${"k".repeat(1_000_000)}: 1`],
    ["a very long quoted key", `{"${"k".repeat(1_000_000)}": 1}`],
    ["lone surrogates", "version: \ud800"],
  ])("of %s", { timeout: patience_ms }, (_what, text) => {
    const problems = problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    for (const problem of problems) expect(problem.length).toBeLessThan(400);
  });
});
