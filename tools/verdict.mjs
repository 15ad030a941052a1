// What the results of `make test` amount to: which files to run once more, and what counts after that. Pure, and plain
// JavaScript as all of `.ci/run`, which must also work when nothing could be built.

/**
 * One test file in a report of tools/results-reporter.mjs.
 * @typedef {{ name: string, status: string, assertionResults: { status: string }[] }} FileResult
 */
/**
 * What tools/results-reporter.mjs writes at the end of a run.
 * @typedef {{ testResults: FileResult[], unhandledErrors: string[] }} Report
 */
/**
 * One `make test`: its report, or null when it left none that can be read, and its exit status.
 * @typedef {{ report: Report | null, status: number }} Run
 */

/** When more files than these fail, they fail for a common reason, which is no flake. */
const mostFlakyFiles = 5;

/** These suites look for what happens rarely: a second run that passes proves nothing. */
const rareEvents = /\b(fault|fuzz|oracle|soak|storm)s?\b/;

/**
 * A skipped test is a failed one here, and so is a file without tests, or one that failed outside of its tests.
 * @param {FileResult} file
 */
function countFile({ status, assertionResults }) {
  const passed = assertionResults.filter((test) => test.status === "passed").length;
  let failed = assertionResults.length - passed;
  if (status !== "passed" && assertionResults.every((test) => test.status !== "failed")) failed++;
  if (assertionResults.length === 0 && failed === 0) failed++;
  return { passed, failed };
}

/**
 * The files to run once more, each alone. None when the run itself went wrong: its results do not tell what happened.
 * @param {Run} run
 * @returns {string[]}
 */
export function filesToRunAgain({ report, status }) {
  if (report === null || status === 0 || report.unhandledErrors.length > 0) return [];
  if (report.testResults.some((file) => file.assertionResults.length === 0)) return [];
  const failed = report.testResults.filter((file) => file.status !== "passed");
  if (failed.length > mostFlakyFiles) return [];
  return failed.map((file) => file.name).filter((name) => !rareEvents.test(name));
}

/**
 * Whether the second run of a file is whole: of this file, of no fewer tests than the first, and without any failure.
 * @param {FileResult} first
 * @param {Run | undefined} again
 */
function passedAgain(first, again) {
  const [file, ...others] = again?.report?.testResults ?? [];
  if (again?.status !== 0 || again.report?.unhandledErrors.length !== 0) return false;
  if (file === undefined || others.length > 0 || file.name !== first.name) return false;
  const { passed, failed } = countFile(file);
  return failed === 0 && passed >= first.assertionResults.length;
}

/**
 * Adds up a run and the second runs of files that failed in it. A file that passed alone counts as passed, and is named.
 * @param {Run} run
 * @param {Map<string, Run>} again by name of the file
 * @returns {{ passed: number, failed: number, flaky: string[] }}
 */
export function verdictOf({ report, status }, again) {
  if (report === null) return { passed: 0, failed: 1, flaky: [] };

  const mayPass = filesToRunAgain({ report, status });
  const flaky = [];
  let passed = 0;
  let failed = report.unhandledErrors.length;
  for (const file of report.testResults) {
    const counted = countFile(file);
    if (mayPass.includes(file.name) && passedAgain(file, again.get(file.name))) {
      flaky.push(file.name);
      passed += file.assertionResults.length;
    } else {
      passed += counted.passed;
      failed += counted.failed;
    }
  }
  // A run that ended badly although all is well in its files, and a run of nothing at all.
  const unexplained = status !== 0 && failed === 0 && flaky.length === 0;
  if (unexplained || passed + failed === 0) failed++;
  return { passed, failed, flaky };
}
