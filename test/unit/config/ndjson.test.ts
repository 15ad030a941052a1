// Goal: NDJSON says what the same document says in YAML, quickly, and its mistakes are told by line and column.
import { describe, expect, test } from "vitest";
import { readQuickEntry } from "../../../src/config/quick-entry.js";
import { mappingEntry } from "../../../src/config/schema.js";
import { random } from "../../support/random.js";
import { meaning, problemsOf, ruleSetOf } from "./support.js";

const NAME = "rules.ndjson";
const head = '{"version":1,"services":{"web":{"address":"127.0.1.10"}}}';

function refusals(...lines: readonly string[]): string[] {
  return problemsOf(`${lines.join("\n")}\n`, NAME);
}

describe("lines", () => {
  test("say the same with and without spaces, in any order of keys, and between empty lines", () => {
    const compact = '{"port":80,"to":"web","name":"a"}';
    const spaced = '  { "name": "a", "to": "web",\t"port": 80 }  ';
    const texts = [compact, spaced].map((line) => `${head}\n\n${line}\r\n\n`);
    const [first, second] = texts.map((text) => ruleSetOf(text, NAME).mappings.map(meaning));
    expect(first).toEqual(second);
    expect(first).toHaveLength(1);
  });

  test("know their place", () => {
    const { mappings } = ruleSetOf(
      `${head}\n{"port":80,"to":"web"}\n\n {"port":81,"to":"web"}\n`,
      NAME,
    );
    expect(mappings.map(({ origin }) => origin)).toEqual([
      { file: NAME, line: 2, column: 1 },
      { file: NAME, line: 4, column: 2 },
    ]);
  });

  test("need no head, and no newline at the end", () => {
    expect(ruleSetOf('{"port":80,"to":"127.0.1.1"}', NAME).mappings).toHaveLength(1);
  });

  test("of a thousand are read as one by one", () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `{"port":${i + 1},"to":"web"}`);
    const { mappings } = ruleSetOf([head, ...lines].join("\n"), NAME);
    expect(mappings.map(({ ports }) => ports[0]?.first)).toEqual(lines.map((_, i) => i + 1));
    expect(mappings[999]?.origin.line).toBe(1001);
  });
});

describe("mistakes", () => {
  test("a key twice", () => {
    expect(refusals(head, '{"port":80,"to":"web","port":81}')).toEqual([
      expect.stringMatching(/^rules\.ndjson:2:\d+: .*"port".*twice/),
    ]);
  });

  test("a key twice, spaced", () => {
    expect(refusals(head, '{"port": 80, "to": "web", "port": 80}')[0]).toMatch(/^rules\.ndjson:2:/);
  });

  test("a line that is cut short, and one that is right after it", () => {
    const found = refusals(head, '{"port":80,"to":"we', '{"port":81,"to":"web"}');
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^rules\.ndjson:2:/);
  });

  test("all of them at once, each with its line", () => {
    const found = refusals(head, '{"port":0,"to":"web"}', '{"port":80,"to":"wed"}', '{"prot":80}');
    expect(found.map((line) => line.split(":")[1])).toEqual(
      expect.arrayContaining(["2", "3", "4"]),
    );
    expect(found.join("\n")).toMatch(/did you mean/);
  });

  test("among a thousand lines that are right", () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `{"port":${i + 1},"to":"web"}`);
    lines[500] = '{"port":70000,"to":"web"}';
    const found = refusals(head, ...lines);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^rules\.ndjson:502:9: /);
  });

  test("numbers that are not written plainly", () => {
    for (const port of ["8e1", "80.0", "-0"]) {
      expect(refusals(head, `{"port":${port},"to":"web"}`)[0], port).toMatch(/^rules\.ndjson:2:/);
    }
  });

  test("__proto__ is a key that is not known, and nothing else", () => {
    expect(refusals(head, '{"port":80,"to":"web","__proto__":{"miss":"reject"}}')[0]).toMatch(
      /^rules\.ndjson:2:\d+: .*__proto__/,
    );
  });
});

test("the quick reader takes nothing that the schema would not, and makes the same of it", () => {
  const source = random();
  const values: Readonly<Record<string, readonly unknown[]>> = {
    name: ["a", "web-1", "", "x".repeat(300), "a b", 1, null],
    protocol: ["tcp", "udp", "sctp", ["tcp"], ["tcp", "udp"]],
    port: [80, 0, 65536, "80-90", "90-80", "*", [80, "90-92"], [], "x", 1.5, null, ["80", 80]],
    on: ["203.0.113.1", "203.0.113.0/24", "203.0.113.1/24", "::/0", ["10.0.0.0/8"], [], "eth0", 5],
    from: ["198.51.100.0/24", "2001:db8::/32", "198.51.100.1/24", []],
    interface: ["eth0", "a/b", "x".repeat(16), ["eth0", "eth1"], []],
    to: [
      "127.0.1.1",
      "127.0.1.1:80",
      "[::1]:80",
      "*:22",
      "web",
      "web:0",
      ["127.0.1.1", "web"],
      [],
      "300.1.1.1",
      { address: "127.0.1.1", weight: 2 },
      [{ address: "web", weight: 0 }],
    ],
    existing: ["exact", "any", "never", "maybe"],
    miss: ["pass", "reject", true],
    other: [1],
  };
  let taken = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const entry = Object.fromEntries(
      Object.entries(values)
        .filter(([key]) => (key === "port" || key === "to" ? !source.oneIn(20) : source.oneIn(4)))
        .filter(([key]) => key !== "other" || source.oneIn(10))
        .map(([key, choices]) => [key, source.pick(choices)]),
    );
    const quick = readQuickEntry(entry);
    if (quick === null) continue;
    taken += 1;
    const story = `ILM_SEED=${source.seed}: ${JSON.stringify(entry)}`;
    const slow = mappingEntry.safeParse(entry);
    expect(slow.success, story).toBe(true);
    expect(quick, story).toEqual(slow.data);
  }
  expect(taken).toBeGreaterThan(500);
});
