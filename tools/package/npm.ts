/**
 * Makes the npm package: what is built, for both kinds of machine, and no script that runs when it
 * is installed.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BYTECODE_FILE } from "../../src/start.js";
import { koffiPackage } from "./fetched.js";
import { bundledPackages, licenceText } from "./licences.js";
import { machines } from "./machine.js";
import type { Release } from "./release.js";
import { LIBRARY, stage } from "./stage.js";

/** What README.md leads to, with what that leads to. */
const DOCUMENTS = "usr/share/doc/ilm";
const documents = ["README.md", "CHANGELOG.md", "ARCHITECTURE.md", "SECURITY.md", "docs", "kmod"];

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

/** Builds the package into `output`, and returns its path. */
export function buildNpm(release: Release, output: string): string {
  const staged = mkdtempSync(join(tmpdir(), "ilm-npm-"));
  const folder = join(staged, LIBRARY);
  try {
    stage(staged);
    // npm installs koffi's, for the machine at hand.
    rmSync(join(folder, "node_modules"), { recursive: true });
    // Another Node than the builder's cannot use it, and the installed one is any.
    rmSync(join(folder, "dist/src/bundle", BYTECODE_FILE));
    for (const path of ["man", "completions", "contrib", "LICENSES", "LICENSE"]) {
      cpSync(path, join(folder, path), { recursive: true });
    }
    for (const path of documents) {
      cpSync(join(staged, DOCUMENTS, path), join(folder, path), { recursive: true });
    }
    writeFileSync(join(folder, "THIRD-PARTY-LICENSES"), licenceText(bundledPackages()));
    writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest(), null, 2)}\n`);
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      chmodSync(path, entry.isDirectory() || path === join(folder, "bin/ilm") ? 0o755 : 0o644);
      utimesSync(path, release.time, release.time);
    }
    const name = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", folder], {
      cwd: folder,
      encoding: "utf8",
    }).trim();
    const path = join(output, name);
    cpSync(join(folder, name), `${path}.new`);
    renameSync(`${path}.new`, path);
    return path;
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
}

/** What is bundled is no dependency; the native code of koffi is, for the machine at hand. */
function manifest(): object {
  const all = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
  // Those are for who works on it.
  const others = ["scripts", "devDependencies", "allowScripts", "private"];
  const own = Object.fromEntries(Object.entries(all).filter(([key]) => !others.includes(key)));
  const { koffi } = all.dependencies;
  if (koffi === undefined) throw new Error("package.json does not name koffi");
  const native = machines.map(({ node }) => [koffiPackage(node), koffi] as const);
  return {
    ...own,
    files: [
      "bin",
      "dist",
      "schema",
      "man",
      "completions",
      "contrib",
      "examples",
      "LICENSES",
      "THIRD-PARTY-LICENSES",
      ...documents,
    ],
    os: ["linux"],
    cpu: machines.map(({ node }) => node),
    dependencies: {},
    optionalDependencies: Object.fromEntries(native),
  };
}
