// Runs once more, alone, each test file that failed in `make test`, where that may tell a flake (tools/verdict.mjs), and
// leaves what the tests amount to.
//
//   node tools/again.mjs STATUS-OF-MAKE-TEST tests.json verdict.json
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { filesToRunAgain, verdictOf } from "./verdict.mjs";

const [, , statusOfMake, testsFile, verdictFile] = process.argv;

/** The report in a file with the names of test files as a user gives them to `make test`; null when there is none. */
function read(file) {
  try {
    const report = JSON.parse(readFileSync(file, "utf8"));
    const named = (result) => ({ ...result, name: relative(".", result.name) });
    return { ...report, testResults: report.testResults.map(named) };
  } catch (error) {
    console.log(`no usable result in ${file}: ${error.message}`);
    return null;
  }
}

function runAlone(file) {
  const results = `${testsFile}.again`;
  rmSync(results, { force: true });
  console.log(`\n${file} failed: once more, alone`);
  const { status } = spawnSync("make", ["test", `RESULTS=${results}`, `ARGS=${file}`], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return { report: read(results), status: status ?? 1 };
}

const run = { report: read(testsFile), status: Number(statusOfMake) };
const again = new Map(filesToRunAgain(run).map((file) => [file, runAlone(file)]));
writeFileSync(verdictFile, JSON.stringify(verdictOf(run, again)));
