/** Files for commands to read, which are gone after the test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** Returns the path of a file with this text, in a folder of its own. */
export function put(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "ilm-command-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** A valid configuration of two mappings. */
export const good = `version: 1
services:
  web: { address: 127.0.1.10 }
mappings:
  - { name: http, port: 80, to: web }
  - { name: https, port: 443, to: "web:8443" }
`;

/** With two errors, on lines 5 and 6. */
export const bad = `version: 1
services:
  web: { address: 127.0.1.10 }
mappings:
  - { name: http, port: 70000, to: web }
  - { name: https, port: 443, to: wbe }
`;

/** Valid, with a warning on line 3. */
export const doubtful = `version: 1
mappings:
  - { name: loop, port: 80, on: 127.0.2.0/24, to: "127.0.2.7:80" }
`;
