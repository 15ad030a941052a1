// Goal: a file that was changed says, by what differs, exactly what a reader of the whole would say
// of it.
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import * as fc from "fast-check";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { digestLargeFile, digestOfBytes } from "../../../src/config/input.js";
import { loadConfiguration } from "../../../src/config/load.js";
import { type KnownText } from "../../../src/control/known-text.js";
import { blockDigests, knownBlocks, reviseFrom } from "../../../src/control/revised-text.js";
import { type RuleSet, inMemory } from "../../../src/model/rules.js";
import { columnNames, toColumns } from "../../../src/model/mapping-columns.js";
import { addedBy } from "../../../src/model/revision.js";

const COUNT = 8_000;
const head =
  '{"version":1,"services":{"app":{"address":["127.0.1.10","fd5e:ed00::10"],"publish":{"80":8080,"53/udp":5353}}}}';
let folder = "";
let file = "";
let before: RuleSet;
let known: KnownText;
let lines: string[] = [];

function lineOf(index: number, port = 8080): string {
  const on = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  // Some are two mappings, some have an IPv6 address, some a list.
  if (index % 7 === 0) {
    return `{"name":"m${index}","protocol":["tcp","udp"],"port":443,"on":"${on}","to":"app:${port}"}`;
  }
  if (index % 11 === 0) {
    return `{"port":443,"on":["${on}","2001:db8::${index.toString(16)}"],"to":"app:${port}"}`;
  }
  if (index % 13 === 0) {
    return `{"port":443,"on":"2001:db8::${index.toString(16)}","to":"app:${port}"}`;
  }
  return `{"name":"m${index}","port":[443,"8000-8010"],"on":"${on}","to":"127.0.1.11:${port}"}`;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ilm-revised-"));
  file = join(folder, "many.ndjson");
  lines = [head, ...Array.from({ length: COUNT }, (_, i) => lineOf(i))];
  writeFileSync(file, lines.join("\n"));
  before = (await loadConfiguration(file)).ruleSet;
  const blocks = knownBlocks([digestOfBytes(file, Buffer.from(lines.join("\n")))], [], before);
  const empty = { digest: "", surroundings: "", warnings: [], destinations: [], absent: [] };
  known = { ...empty, names: [file], blocks };
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function revised(after: readonly string[], fits = true): ReturnType<typeof reviseFrom> {
  writeFileSync(file, after.join("\n"));
  const digests = blockDigests(known);
  const input = await digestLargeFile(file, {}, (digest) => digests.has(digest));
  if (input === null) throw new Error("the file is not large");
  return reviseFrom({ file: inMemory(before), text: "", fits: () => fits }, known, [
    { name: file, ...input },
  ]);
}

async function expectSame(after: readonly string[]): Promise<number> {
  const found = await revised(after);
  if (found === null) throw new Error("the whole is read");
  const whole = (await loadConfiguration(file)).ruleSet;
  const revisedFile = found.file.read();
  expect(revisedFile.services).toEqual(whole.services);
  const [mine, theirs] = [revisedFile, whole].map(({ mappings }) => toColumns(mappings));
  expect(mine?.lists).toEqual(theirs?.lists);
  for (const name of columnNames) expect(mine?.bytesOf(name), name).toEqual(theirs?.bytesOf(name));
  const bytes = Buffer.from(after.join("\n"));
  expect(found.known.blocks).toEqual(knownBlocks([digestOfBytes(file, bytes)], [], whole));
  return addedBy(found.revision.pieces).length;
}

test("the file as it was is nothing new", async () => {
  expect(await expectSame(lines)).toBe(0);
});

test("any lines that come, go, move a little or lead elsewhere are found, and all others stay", async () => {
  const anyEdit = fc.record({
    at: fc.integer({ min: 1, max: COUNT }),
    remove: fc.constantFrom(0, 0, 1, 1, 2, 400),
    add: fc.constantFrom("nothing", "a blank line", "another", "elsewhere", "the same, later"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(anyEdit, { minLength: 1, maxLength: 4 }), async (edits) => {
      const after = [...lines];
      let fresh = COUNT;
      for (const { at, remove, add } of edits) {
        const [old = ""] = after.splice(at, remove);
        if (add === "a blank line") after.splice(at, 0, "", "  ");
        if (add === "another") after.splice(at, 0, lineOf(++fresh));
        if (add === "elsewhere" && remove === 1) after.splice(at, 0, old.replace("8080", "9090"));
        if (add === "the same, later" && remove === 1) after.splice(at + 3, 0, old);
      }
      expect(await expectSame(after)).toBeLessThan(30);
    }),
    { numRuns: 10 },
  );
});

test("what a service of the first line publishes is found like lines", async () => {
  expect(await expectSame(lines.with(0, head.replace("8080", "9090")))).toBe(1);
  expect(await expectSame(lines.with(0, head.replace('"80"', '"81"')))).toBe(1);
  expect(await expectSame(lines.with(0, head.replace(',"53/udp":5353', "")))).toBe(0);
  expect(await expectSame(lines.with(1, lineOf(COUNT)))).toBe(1);
});

test("the whole is read when a line is not right, its services are others, or it cannot be laid over what is active", async () => {
  expect(await revised(lines.with(500, '{"port":0}'))).toBeNull();
  expect(await revised(lines.with(500, head))).toBeNull();
  expect(await revised(lines.with(500, "\uFEFF" + lineOf(500)))).toBeNull();
  expect(await revised(lines.with(500, '{"port":80,"to":"nobody:80"}'))).toBeNull();
  expect(await revised(lines.with(0, head.replace("127.0.1.10", "127.0.1.12")))).toBeNull();
  expect(await revised(lines.with(501, lineOf(500, 1)), false)).toBeNull();
  // It is inside of its own mapping, which is told.
  const doubtful = '{"port":80,"on":"127.0.1.0/24","to":"127.0.1.10:80"}';
  expect(await revised(lines.with(500, doubtful))).toBeNull();
  expect(await revised(lines.with(501, lineOf(500, 1)))).not.toBeNull();
});

test("the whole is read when the active rules are not of the lines that are known", async () => {
  const blocks = known.blocks && { ...known.blocks, lines: "another digest" };
  const before1 = known;
  known = { ...known, blocks };
  expect(await revised(lines.with(501, lineOf(500, 1)))).toBeNull();
  known = {
    ...before1,
    warnings: [{ severity: "warning", file, line: 1, column: 1, path: "", message: "", hint: "" }],
  };
  expect(await revised(lines.with(501, lineOf(500, 1)))).toBeNull();
  known = before1;
});
