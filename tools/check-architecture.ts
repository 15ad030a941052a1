/**
 * `node dist/tools/check-architecture.js`: fails when ARCHITECTURE.md names a file or folder that
 * does not exist.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { findNamedFiles, isThere } from "./architecture.js";

const DOCUMENT = "ARCHITECTURE.md";

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(file));
const named = findNamedFiles(readFileSync(DOCUMENT, "utf8"));
const gone = named.filter((one) => !isThere(one, files));
for (const { name, line } of gone) {
  console.log(
    `${DOCUMENT}:${line}: no such file: ${name}\n    remedy: name what does this now, by its path from the top, from src/, src/dataplane/ or bpf/, or from the folder of the map's row`,
  );
}
console.log(`${named.length} files and folders named, ${gone.length} not there`);
process.exitCode = gone.length === 0 && named.length > 0 ? 0 : 1;
