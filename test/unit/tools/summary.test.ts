// Goal: the one line that CI reads tells the truth, also when nothing was built or run.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ilm-summary-"));
});
afterEach(() => rm(folder, { recursive: true }));

/**
 * What the summary prints over these results, without complaints, and its exit status; null: no
 * such file.
 */
async function summaryOf(tests: object | null, checks: object | null): Promise<[string[], number]> {
  const verdictFile = join(folder, "verdict.json");
  const checksFile = join(folder, "checks.json");
  if (tests !== null) await writeFile(verdictFile, JSON.stringify(tests));
  if (checks !== null) await writeFile(checksFile, JSON.stringify(checks));
  const run = promisify(execFile)(process.execPath, ["tools/summary.mjs", verdictFile, checksFile]);
  const { stdout, code } = await run.then(
    (done) => ({ stdout: done.stdout, code: 0 }),
    (error: { stdout: string; code: number }) => error,
  );
  const lines = stdout.trimEnd().split("\n");
  return [lines.filter((line) => !line.startsWith("no usable result")), code];
}

test("tests and checks are added up", async () => {
  const tests = { passed: 5, failed: 0, flaky: [] };
  expect(await summaryOf(tests, { passed: 3, failed: 0 })).toEqual([["8 passed, 0 failed"], 0]);
});

test("a failed test fails the whole", async () => {
  const tests = { passed: 5, failed: 2, flaky: [] };
  expect(await summaryOf(tests, { passed: 3, failed: 0 })).toEqual([["8 passed, 2 failed"], 1]);
});

test("a failed check fails the whole", async () => {
  const tests = { passed: 5, failed: 0, flaky: [] };
  expect(await summaryOf(tests, { passed: 2, failed: 1 })).toEqual([["7 passed, 1 failed"], 1]);
});

test("files that passed only alone are named above the last line", async () => {
  const tests = { passed: 5, failed: 0, flaky: ["test/netns/a.test.ts", "test/netns/b.test.ts"] };
  expect(await summaryOf(tests, { passed: 0, failed: 0 })).toEqual([
    ["flaky: test/netns/a.test.ts", "flaky: test/netns/b.test.ts", "5 passed, 0 failed"],
    0,
  ]);
});

test("missing results are failures, and the line is there all the same", async () => {
  expect(await summaryOf(null, null)).toEqual([["0 passed, 2 failed"], 1]);
});
