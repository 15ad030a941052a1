// Goal: `.ci/run` over a small tree of its own says which file only failed by chance, and never
// hides what failed.
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";

let tree = "";

async function put(path: string, text: string) {
  await mkdir(dirname(join(tree, path)), { recursive: true });
  await writeFile(join(tree, path), text);
}

beforeEach(async () => {
  tree = await mkdtemp(join(tmpdir(), "ilm-ci-run-"));
  await put("vitest.config.mjs", 'export default { cacheDir: "dist/cache" };\n');
  await put(
    "Makefile",
    `RESULTS := dist/results/tests.json
.PHONY: test check
test:
\t@node node_modules/vitest/vitest.mjs run --reporter=default \\
\t\t--reporter=./tools/results-reporter.mjs --outputFile.json=$(RESULTS) $(ARGS)
check:
\t@echo '{ "passed": 1, "failed": 0 }' >dist/results/checks.json
`,
  );
  await symlink(resolve("node_modules"), join(tree, "node_modules"));
  for (const folder of [".ci", "tools"]) await mkdir(join(tree, folder));
  for (const file of [
    ".ci/run",
    "tools/again.mjs",
    "tools/results-reporter.mjs",
    "tools/summary.mjs",
    "tools/verdict.mjs",
  ]) {
    await copyFile(file, join(tree, file));
  }
});
afterEach(() => rm(tree, { recursive: true }));

/**
 * Adds a test file that writes down each of its runs and then does what `body` says; `run` counts
 * from 1.
 */
async function addSuite(path: string, body: string) {
  await put(
    path,
    `import { appendFileSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
appendFileSync(import.meta.filename + ".runs", "x");
const run = readFileSync(import.meta.filename + ".runs", "utf8").length;
${body}
`,
  );
}

async function runsOf(path: string): Promise<number> {
  return (await readFile(join(tree, `${path}.runs`), "utf8")).length;
}

/** Runs `.ci/run` and returns its last lines, from the first flaky one on, and its exit status. */
async function runCi(): Promise<[string[], number]> {
  // Not the environment of the run that this test is part of: make and Vitest tell their children
  // about themselves in it.
  const env = { PATH: process.env["PATH"], HOME: tree };
  const { stdout, code } = await promisify(execFile)(join(tree, ".ci/run"), { env }).then(
    (done) => ({ stdout: done.stdout, code: 0 }),
    (error: { stdout: string; code: number }) => error,
  );
  const lines = stdout.trimEnd().split("\n");
  const flaky = lines.filter((line) => line.startsWith("flaky: "));
  return [lines.slice(-1 - flaky.length), code];
}

test("a file that passes alone is named; one that fails twice has failed, and a fault suite after one run", async () => {
  await addSuite("test/fine.test.js", 'test("a", () => {}); test("b", () => {});');
  await addSuite("test/chancy.test.js", 'test("c", () => expect(run).toBe(2));');
  await addSuite("test/broken.test.js", 'test("d", () => expect(run).toBe(3));');
  await addSuite("test/fault/kills.test.js", 'test("e", () => expect(run).toBe(2));');
  expect(await runCi()).toEqual([["flaky: test/chancy.test.js", "4 passed, 2 failed"], 1]);
  expect(await runsOf("test/fine.test.js")).toBe(1);
  expect(await runsOf("test/broken.test.js")).toBe(2);
  expect(await runsOf("test/fault/kills.test.js")).toBe(1);
});

test("when all that failed passes alone, the whole passes", async () => {
  await addSuite("test/chancy.test.js", 'test("a", () => expect(run).toBe(2));');
  expect(await runCi()).toEqual([["flaky: test/chancy.test.js", "2 passed, 0 failed"], 0]);
});

test("an error that no test caught fails the whole although each test passed", async () => {
  await addSuite(
    "test/loud.test.js",
    `test("a", async () => {
       if (run === 1) void Promise.reject(new Error("nobody caught me"));
       await new Promise((resolve) => setImmediate(resolve));
     });`,
  );
  await addSuite("test/chancy.test.js", 'test("b", () => expect(run).toBe(2));');
  expect(await runCi()).toEqual([["2 passed, 2 failed"], 1]);
  expect(await runsOf("test/chancy.test.js")).toBe(1);
});

test("a worker that dies fails the whole, and nothing is run once more", async () => {
  await addSuite(
    "test/dies.test.js",
    'test("a", () => { if (run === 1) process.kill(process.pid, "SIGKILL"); return new Promise(() => {}); });',
  );
  await addSuite("test/fine.test.js", 'test("b", () => {});');
  const [lines, code] = await runCi();
  expect(lines).toEqual([expect.stringMatching(/^\d+ passed, [1-9]\d* failed$/)]);
  expect(code).toBe(1);
  expect(await runsOf("test/dies.test.js")).toBe(1);
});

test("a file that cannot be loaded fails the whole, and nothing is run once more", async () => {
  await addSuite("test/unloadable.test.js", 'if (run === 1) throw new Error("not today");');
  expect(await runCi()).toEqual([["1 passed, 1 failed"], 1]);
  expect(await runsOf("test/unloadable.test.js")).toBe(1);
});

test("a test run that dies without results fails the whole", async () => {
  await put("vitest.config.mjs", 'process.kill(process.pid, "SIGKILL");\n');
  await addSuite("test/fine.test.js", 'test("a", () => {});');
  expect(await runCi()).toEqual([["1 passed, 1 failed"], 1]);
});
