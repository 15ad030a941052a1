/**
 * `node dist/tools/check-lockfile.js`: fails when `npm ci` could not work from package-lock.json
 * alone, or when a package of it wants to run a script at install time and package.json does not
 * say whether it may.
 */
import { readFileSync } from "node:fs";

import { findLockProblems, type Lock, type Manifest } from "./lockfile.js";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as Lock;
const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;

const problems = findLockProblems(lock, manifest);
for (const problem of problems) console.log(problem);
console.log(`${Object.keys(lock.packages).length} packages, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
