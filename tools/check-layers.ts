/**
 * `node dist/tools/check-layers.js`: fails, with the remedy, when a module imports what its layer
 * may not.
 */
import { readFileSync, readdirSync } from "node:fs";

import { findViolations } from "./layer-rules.js";

const sources = new Map<string, string>();
for (const entry of readdirSync("src", { recursive: true, encoding: "utf8" })) {
  if (!entry.endsWith(".ts")) continue;
  const file = `src/${entry}`;
  sources.set(file, readFileSync(file, "utf8"));
}

const violations = findViolations(sources);
for (const { file, line, message, remedy } of violations) {
  console.log(`${file}:${line}: ${message}\n    remedy: ${remedy}`);
}
console.log(`${sources.size} modules, ${violations.length} against the layers`);
process.exitCode = violations.length === 0 ? 0 : 1;
