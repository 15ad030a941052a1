// Adds up what `make test` and `make check` left behind and prints the one line that CI reads: `N passed, N failed`.
// Plain JavaScript, because it must also work when nothing could be built: a missing file is one failure.
import { readFileSync } from "node:fs";

const [, , verdictFile, checksFile] = process.argv;

function read(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    console.log(`no usable result in ${file}: ${error.message}`);
    return { passed: 0, failed: 1 };
  }
}

const tests = read(verdictFile);
const checks = read(checksFile);
const failed = tests.failed + checks.failed;

for (const file of tests.flaky ?? []) console.log(`flaky: ${file}`);
console.log(`${tests.passed + checks.passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
