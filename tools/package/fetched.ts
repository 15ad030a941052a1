/**
 * What packages contain that is not built here: Node itself, and koffi's native code for each kind
 * of machine. Fetched once with `npm pack`, and believed only where the digest is the one that the
 * repository states.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "./machine.js";

interface Runtime {
  readonly version: string;
  readonly integrity: Readonly<Record<Machine["node"], string>>;
}

interface Runtimes extends Runtime {
  /** Others that the tests run the product on. */
  readonly tested: readonly Runtime[];
}

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
}

const runtime = JSON.parse(readFileSync("tools/package/runtime.json", "utf8")) as Runtimes;
const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};

/** The version of Node in the Debian packages. */
export const nodeVersion = runtime.version;

/** The folder with `bin/node` and `LICENSE` of the Node for that machine. */
export function fetchNode({ node }: Machine): string {
  return fetch(`node-linux-${node}`, runtime.version, runtime.integrity[node]);
}

/**
 * Fetches the versions of Node that the tests run the product on. Returns the folder of each one's
 * `node`, by version, oldest first.
 */
export function fetchTestedNodes({ node }: Machine): ReadonlyMap<string, string> {
  return new Map(
    [...runtime.tested, runtime].map(({ version, integrity }) => [
      version,
      join(fetch(`node-linux-${node}`, version, integrity[node]), "bin"),
    ]),
  );
}

/** The folder of koffi's native code for that machine. */
export function fetchKoffi({ node }: Machine): string {
  const name = koffiPackage(node);
  const locked = lock.packages[`node_modules/${name}`];
  if (locked?.integrity === undefined) throw new Error(`package-lock.json has no ${name}`);
  return fetch(name, locked.version, locked.integrity);
}

export function koffiPackage(node: Machine["node"]): string {
  return `@koromix/koffi-linux-${node}`;
}

const kept = "dist/fetched";

/** Fetches and unpacks a package, once. Throws when it is another than stated. */
function fetch(name: string, version: string, integrity: string): string {
  const folder = join(kept, `${name.replace("/", "+")}-${version}`);
  if (existsSync(folder)) return join(folder, "package");
  console.log(`fetching ${name} ${version}`);
  const staging = `${folder}.new`;
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  execFileSync("npm", [
    "pack",
    "--silent",
    "--ignore-scripts",
    "--pack-destination",
    staging,
    `${name}@${version}`,
  ]);
  const [archive] = readdirSync(staging).map((file) => join(staging, file));
  if (archive === undefined) throw new Error(`npm pack ${name}@${version} left no archive`);
  const digest = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
  if (digest !== integrity) {
    rmSync(staging, { recursive: true });
    throw new Error(`${name}@${version} is not what was expected: ${digest}, not ${integrity}`);
  }
  execFileSync("tar", ["-xzf", archive, "-C", staging, "--no-same-owner"]);
  rmSync(archive);
  renameSync(staging, folder);
  return join(folder, "package");
}
