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

const passingTests = {
  success: true,
  numPassedTests: 5,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [{ status: "passed", assertionResults: [{ status: "passed" }] }],
};

/** The last line and the exit status of the summary over these results; null: no such file. */
async function summaryOf(tests: object | null, checks: object | null): Promise<[string, number]> {
  const testsFile = join(folder, "tests.json");
  const checksFile = join(folder, "checks.json");
  if (tests !== null) await writeFile(testsFile, JSON.stringify(tests));
  if (checks !== null) await writeFile(checksFile, JSON.stringify(checks));
  const run = promisify(execFile)(process.execPath, ["tools/summary.mjs", testsFile, checksFile]);
  const { stdout, code } = await run.then(
    (done) => ({ stdout: done.stdout, code: 0 }),
    (error: { stdout: string; code: number }) => error,
  );
  return [stdout.trimEnd().split("\n").at(-1) ?? "", code];
}

test("tests and checks are added up", async () => {
  expect(await summaryOf(passingTests, { passed: 3, failed: 0 })).toEqual([
    "8 passed, 0 failed",
    0,
  ]);
});

test("a failed check fails the whole", async () => {
  expect(await summaryOf(passingTests, { passed: 2, failed: 1 })).toEqual([
    "7 passed, 1 failed",
    1,
  ]);
});

test("missing results are failures, and the line is there all the same", async () => {
  expect(await summaryOf(null, null)).toEqual(["0 passed, 2 failed", 1]);
});

test("a skipped test counts as failed", async () => {
  const tests = { ...passingTests, numPendingTests: 2 };
  expect(await summaryOf(tests, { passed: 0, failed: 0 })).toEqual(["5 passed, 2 failed", 1]);
});

test("a file that could not be loaded counts as failed although it holds no failed test", async () => {
  const tests = {
    ...passingTests,
    success: false,
    testResults: [...passingTests.testResults, { status: "failed", assertionResults: [] }],
  };
  expect(await summaryOf(tests, { passed: 0, failed: 0 })).toEqual(["5 passed, 1 failed", 1]);
});

test("an error outside of every test counts as failed", async () => {
  const tests = { ...passingTests, success: false };
  expect(await summaryOf(tests, { passed: 0, failed: 0 })).toEqual(["5 passed, 1 failed", 1]);
});

test("a run without a single test counts as failed", async () => {
  const tests = { ...passingTests, numPassedTests: 0, testResults: [] };
  expect(await summaryOf(tests, { passed: 1, failed: 0 })).toEqual(["1 passed, 1 failed", 1]);
});
