// Goal: NDJSON says what the same document says in YAML, quickly, and its mistakes are told by line
// and column.
import { describe, expect, test } from "vitest";
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

  test.each(["<stdin>", "/dev/fd/63", "rules"])("are told by what they have, in %s", (name) => {
    const one = '{"port":80,"to":"web"}';
    expect(ruleSetOf(`${head}\n${one}\n`, name).mappings).toHaveLength(1);
    expect(ruleSetOf(`\n${head}\r\n\n${one}\n{"port":81,"to":"web"}`, name).mappings).toHaveLength(
      2,
    );
    expect(ruleSetOf('{"port":80,"to":"127.0.1.1"}', name).mappings).toHaveLength(1);
    expect(
      ruleSetOf('{"version":1,"mappings":[{"port":80,"to":"127.0.1.1"}]}', name).mappings,
    ).toHaveLength(1);
    expect(
      ruleSetOf('{"version":1,\n"mappings":[{"port":80,"to":"127.0.1.1"}]}', name).mappings,
    ).toHaveLength(1);
    expect(
      ruleSetOf("{version: 1, mappings: [{port: 80, to: 127.0.1.1}]}", name).mappings,
    ).toHaveLength(1);
    expect(problemsOf(`${head}\n${one}\n{"port":81,"to"}\n`, name)[0]).toContain(`${name}:3:`);
  });

  test("of a thousand are read as one by one", () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `{"port":${i + 1},"to":"web"}`);
    const { mappings } = ruleSetOf([head, ...lines].join("\n"), NAME);
    expect(mappings.map(({ ports }) => ports[0]?.first)).toEqual(lines.map((_, i) => i + 1));
    expect(mappings.at(999)?.origin.line).toBe(1001);
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
