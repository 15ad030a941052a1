/**
 * `node dist/tools/package.js [--fast] [deb|npm|amd64|arm64]...`: makes the packages of a built
 * checkout in dist/packages, for each kind of machine, and prints their paths and sizes. Two builds
 * of a commit give the same bytes. `--fast` compresses less, for tests.
 */
import { mkdirSync, statSync } from "node:fs";
import { buildDeb } from "./package/deb.js";
import { machines } from "./package/machine.js";
import { buildNpm } from "./package/npm.js";
import { readRelease } from "./package/release.js";

const words = process.argv.slice(2);
const isFast = words.includes("--fast");
const kinds = words.filter((word) => word !== "--fast");
const known = ["deb", "npm", ...machines.map(({ debian }) => debian)];
const unknown = kinds.find((kind) => !known.includes(kind));

if (unknown === undefined) {
  for (const path of build(process.env["PACKAGES"] ?? "dist/packages")) {
    console.log(`${path}  ${(statSync(path).size / 1e6).toFixed(1)} MB`);
  }
} else {
  console.error(`package: there is no ${unknown}; write some of ${known.join(", ")}`);
  process.exitCode = 2;
}

/** Builds what was asked for into `output`, and returns the paths. */
function build(output: string): string[] {
  mkdirSync(output, { recursive: true });
  const release = readRelease();
  const all = kinds.length === 0;
  const named = machines.filter(({ debian }) => kinds.includes(debian));
  const paths: string[] = [];
  if (all || kinds.includes("deb") || named.length > 0) {
    const compression = isFast ? ["-Zgzip", "-z1"] : ["-Zxz"];
    for (const machine of named.length > 0 ? named : machines) {
      paths.push(buildDeb(release, machine, output, { compression }));
    }
  }
  if (all || kinds.includes("npm")) paths.push(buildNpm(release, output));
  return paths;
}
