/** `node dist/tools/check-columns.js`: fails where a comment has more than 100 columns. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { findLongLines, findLongLinesOfC } from "./columns.js";

const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.ts", "*.c", "*.h"], {
  encoding: "utf8",
})
  .trim()
  .split("\n")
  .filter((file) => existsSync(file) && !/generated|fixtures/.test(file));
const found = files.flatMap((file) =>
  (file.endsWith(".ts") ? findLongLines : findLongLinesOfC)(readFileSync(file, "utf8")).map(
    (line) => `${file}:${line}`,
  ),
);
for (const place of found) {
  console.log(`${place}: more than 100 columns: write it in several lines`);
}
console.log(`${files.length} files, ${found.length} lines too long`);
process.exitCode = found.length === 0 ? 0 : 1;
