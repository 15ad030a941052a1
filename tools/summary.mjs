// Adds up what `make test` and `make check` left behind and prints the one line that CI reads: `N passed, N failed`.
// Plain JavaScript, because it must also work when nothing could be built: a missing file is one failure.
import { readFileSync } from "node:fs";

const [, , testsFile, checksFile] = process.argv;

function read(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    console.log(`no usable result in ${file}: ${error.message}`);
    return null;
  }
}

/** A skipped test is a failed one here, and so is a file that could not be loaded or an error outside of any test. */
function countTests(report) {
  if (report === null) return { passed: 0, failed: 1 };
  let failed = report.numFailedTests + report.numPendingTests + report.numTodoTests;
  failed += report.testResults.filter(
    (file) =>
      file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  ).length;
  if (!report.success && failed === 0) failed = 1;
  if (report.numPassedTests === 0 && failed === 0) failed = 1;
  return { passed: report.numPassedTests, failed };
}

const tests = countTests(read(testsFile));
const checks = read(checksFile) ?? { passed: 0, failed: 1 };
const failed = tests.failed + checks.failed;

console.log(`${tests.passed + checks.passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
