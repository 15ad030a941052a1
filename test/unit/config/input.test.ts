// Goal: the digest of a large file is that of its bytes, and whatever is not plainly such a file is left to who reads it whole.
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

test("the digest of a large file is that of all of its bytes", async () => {
  const bytes = Buffer.alloc(3 * 1024 * 1024 + 17, "0123456789abcdef\n");
  writeFileSync(path, bytes);
  expect(await digestLargeFile(path)).toEqual(digestOfBytes(bytes));
  appendFileSync(path, "x");
  expect(await digestLargeFile(path)).toEqual(
    digestOfBytes(Buffer.concat([bytes, Buffer.from("x")])),
  );
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
