/**
 * Writes schema/ilm.schema.json from the definition that validates. With --check it writes nothing
 * and fails when the file is stale. Run it from the top of the source tree.
 */
import { readFileSync, writeFileSync } from "node:fs";

import { configurationJsonSchemaText } from "../src/config/schema.js";

const FILE = "schema/ilm.schema.json";

const wanted = configurationJsonSchemaText();
if (process.argv.includes("--check")) {
  if (readFileSync(FILE, "utf-8") !== wanted) {
    process.stderr.write(`${FILE} is stale: run the schema generator and commit the result\n`);
    process.exitCode = 1;
  }
} else {
  writeFileSync(FILE, wanted);
}
