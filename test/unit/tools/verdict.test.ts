// Goal: a test file that fails by chance is told from one that fails, and nothing that failed is
// ever run until it passes.
import { expect, test } from "vitest";
import { filesToRunAgain, verdictOf } from "../../../tools/verdict.mjs";

/**
 * A file's results by the first letters of its tests' states; its own state follows from them,
 * unless it is given.
 */
function file(name: string, states: string, status = /f/.test(states) ? "failed" : "passed") {
  const words = new Map([
    ["p", "passed"],
    ["f", "failed"],
    ["s", "skipped"],
    ["t", "todo"],
  ]);
  const assertionResults = Array.from(states, (state) => ({ status: words.get(state) ?? state }));
  return { name, status, assertionResults };
}
type FileResult = ReturnType<typeof file>;

function runOf(status: number, testResults: FileResult[], unhandledErrors: string[] = []) {
  return { report: { testResults, unhandledErrors }, status };
}
const noneAgain = new Map<string, ReturnType<typeof runOf>>();

const fine = file("test/unit/fine.test.ts", "pp");
const chancy = file("test/netns/chancy.test.ts", "pfp");
const firstRun = runOf(2, [fine, chancy]);

test("a file that failed is run once more, and one that passed is not", () => {
  expect(filesToRunAgain(firstRun)).toEqual([chancy.name]);
});

test("a file that passes alone counts as passed, and is named", () => {
  const again = new Map([[chancy.name, runOf(0, [file(chancy.name, "ppp")])]]);
  expect(verdictOf(firstRun, again)).toEqual({ passed: 5, failed: 0, flaky: [chancy.name] });
});

test("a file that fails again counts as it did at first", () => {
  const again = new Map([[chancy.name, runOf(2, [file(chancy.name, "fff")])]]);
  expect(verdictOf(firstRun, again)).toEqual({ passed: 4, failed: 1, flaky: [] });
});

test("a file in which only a hook failed is run once more", () => {
  for (const states of ["ss", "pp"]) {
    const run = runOf(2, [fine, file("test/netns/hook.test.ts", states, "failed")]);
    expect(filesToRunAgain(run)).toEqual(["test/netns/hook.test.ts"]);
  }
});

test.each([
  "test/fault/kills.test.ts",
  "test/fuzz/config.test.ts",
  "test/oracle/oracle.test.ts",
  "test/soak/soak.test.ts",
  "test/storm/reloads.test.ts",
  "test/netns/accept-storm.test.ts",
])("%s fails at once, whatever a second run says", (name) => {
  const run = runOf(2, [fine, file(name, "f")]);
  expect(filesToRunAgain(run)).toEqual([]);
  const again = new Map([[name, runOf(0, [file(name, "p")])]]);
  expect(verdictOf(run, again)).toEqual({ passed: 2, failed: 1, flaky: [] });
});

test("a suite is not taken for one of faults because its name contains the letters", () => {
  const run = runOf(2, [file("test/unit/config/defaults.test.ts", "f")]);
  expect(filesToRunAgain(run)).toEqual(["test/unit/config/defaults.test.ts"]);
});

test("five failed files are run once more, and of six none", () => {
  const failed = [1, 2, 3, 4, 5, 6].map((n) => file(`test/netns/${n}.test.ts`, "f"));
  expect(filesToRunAgain(runOf(2, failed.slice(1)))).toHaveLength(5);
  expect(filesToRunAgain(runOf(2, failed))).toEqual([]);
});

test("a run with an error outside of every test failed, and nothing of it is run once more", () => {
  const run = runOf(2, [fine, chancy], ["Error: nobody caught me"]);
  expect(filesToRunAgain(run)).toEqual([]);
  expect(verdictOf(run, noneAgain)).toEqual({ passed: 4, failed: 2, flaky: [] });
  expect(verdictOf(runOf(2, [fine], ["Error: nobody caught me"]), noneAgain).failed).toBe(1);
});

test("a run with a file that could not be loaded failed, and nothing of it is run once more", () => {
  for (const status of ["failed", "passed"]) {
    const run = runOf(2, [fine, chancy, file("test/netns/broken.test.ts", "", status)]);
    expect(filesToRunAgain(run)).toEqual([]);
    expect(verdictOf(run, noneAgain)).toEqual({ passed: 4, failed: 2, flaky: [] });
  }
});

test("a run that left no results failed", () => {
  for (const status of [0, 2]) {
    expect(filesToRunAgain({ report: null, status })).toEqual([]);
    expect(verdictOf({ report: null, status }, noneAgain)).toEqual({
      passed: 0,
      failed: 1,
      flaky: [],
    });
  }
});

test("a run without a single test failed", () => {
  expect(verdictOf(runOf(0, []), noneAgain)).toEqual({ passed: 0, failed: 1, flaky: [] });
});

test("a run that ended badly although each file passed failed", () => {
  expect(verdictOf(runOf(2, [fine]), noneAgain)).toEqual({ passed: 2, failed: 1, flaky: [] });
});

test("a skipped test counts as failed, and does not make its file run once more", () => {
  const run = runOf(0, [fine, file("test/unit/lazy.test.ts", "pst")]);
  expect(filesToRunAgain(run)).toEqual([]);
  expect(verdictOf(run, noneAgain)).toEqual({ passed: 3, failed: 2, flaky: [] });
});

test.each([
  ["left no results", { report: null, status: 2 }],
  ["left no results and no error", { report: null, status: 0 }],
  ["ended badly", runOf(2, [file(chancy.name, "ppp")])],
  ["had an error outside of every test", runOf(0, [file(chancy.name, "ppp")], ["Error"])],
  ["skipped a test", runOf(0, [file(chancy.name, "psp")])],
  ["had fewer tests", runOf(0, [file(chancy.name, "pp")])],
  ["had no tests", runOf(0, [])],
  ["was of another file", runOf(0, [file("test/netns/other.test.ts", "ppp")])],
  ["was of more than the file", runOf(0, [file(chancy.name, "ppp"), fine])],
])("a file stays failed when its second run %s", (_, second) => {
  const again = new Map([[chancy.name, second]]);
  expect(verdictOf(firstRun, again)).toEqual({ passed: 4, failed: 1, flaky: [] });
});
