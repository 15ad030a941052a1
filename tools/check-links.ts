/**
 * `node dist/tools/check-links.js`: fails when a relative link of a document leads to no file or no
 * heading.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { findLinks, headingAnchors } from "./markdown.js";

const documents = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
  { encoding: "utf8" },
)
  .split("\n")
  .filter((file) => file !== "" && existsSync(file));

let links = 0;
let broken = 0;
for (const document of documents) {
  for (const { target, line } of findLinks(readFileSync(document, "utf8"))) {
    if (/^[a-z]+:/.test(target)) continue;
    links += 1;
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? document : join(dirname(document), path);
    const wrong = !existsSync(file)
      ? `no such file: ${file}`
      : anchor !== undefined && !headingAnchors(readFileSync(file, "utf8")).has(anchor)
        ? `${file} has no heading #${anchor}`
        : undefined;
    if (wrong === undefined) continue;
    broken += 1;
    console.log(`${document}:${line}: ${wrong}\n    remedy: fix the link to ${target}`);
  }
}
console.log(`${documents.length} documents, ${links} relative links, ${broken} broken`);
process.exitCode = broken === 0 && links > 0 ? 0 : 1;
