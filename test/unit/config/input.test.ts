// Goal: the digest of a large file is that of its bytes, and whatever is not plainly such a file is
// left to who reads it whole.
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { digestLargeFile, digestOfBytes } from "../../../src/config/input.js";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-input-"));
  path = join(folder, "rules.ndjson");
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

for (const ending of ["yaml", "ndjson"]) {
  test(`the digest of a large file (${ending}) is that of all of its bytes`, async () => {
    const large = join(folder, `large.${ending}`);
    const lines = Array.from({ length: 200_000 }, (_, i) => `0123456789abcdef ${i}\n`);
    const bytes = Buffer.from(lines.join(""));
    writeFileSync(large, bytes);
    const isKnown = (): boolean => false;
    const found = await digestLargeFile(large, {}, isKnown);
    expect(found).toEqual(digestOfBytes(large, bytes));
    appendFileSync(large, "x");
    const longer = digestOfBytes(large, Buffer.concat([bytes, Buffer.from("x")]));
    expect(await digestLargeFile(large, {}, isKnown)).toEqual(longer);
    expect(longer.digest).not.toBe(found?.digest);
  });
}

test("of a large file of lines only the blocks are kept that are not known, also one that is longer than a chunk", async () => {
  const large = join(folder, "large.ndjson");
  const lines = Array.from({ length: 60_000 }, (_, i) => `0123456789abcdef ${i}\n`);
  const long = `${"x".repeat(5 * 1024 * 1024)}\n`;
  const before = digestOfBytes(large, Buffer.from(lines.join("")));
  const known = new Set(before.blocks.map(({ digest }) => digest));
  lines.splice(30_000, 1, "another line\n", long);
  writeFileSync(large, lines.join(""));
  const after = await digestLargeFile(large, {}, (digest) => known.has(digest));
  const fresh = Buffer.concat(after?.blocks.flatMap(({ bytes }) => bytes ?? []) ?? []);
  expect(fresh.includes(`another line\n${long}`)).toBe(true);
  expect(fresh.length).toBeLessThan(long.length + 400_000);
  expect(after).toEqual(expect.objectContaining({ length: lines.join("").length }));
});

test("a small file, a folder, a pipe, standard input and nothing have none", async () => {
  writeFileSync(path, "version: 1\n");
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  const missing = join(folder, "missing");
  for (const other of [path, folder, pipe, missing, "-", "/dev/stdin", "/dev/zero"]) {
    expect(await digestLargeFile(other, { patienceMs: 1000 }), other).toBeNull();
  }
});
