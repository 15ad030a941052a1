/**
 * `node dist/tools/release.js VERSION`: makes a release of the checkout, as docs/releasing.md says.
 * All that can fail comes before the tag; what fails leaves the checkout as it was.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGES = "dist/packages";

/** Where the version is written by hand, and how. `make generate` writes the rest. */
const places: readonly (readonly [file: string, around: RegExp])[] = [
  ["package.json", /(?<=^ {2}"version": ")[^"]+/m],
  ["package-lock.json", /(?<=^ {2}"version": ")[^"]+/m],
  ["package-lock.json", /(?<=^ {6}"version": ")[^"]+/m],
  ["kmod/ilm_lookup.c", /(?<=^MODULE_VERSION\(")[^"]+/m],
  ["kmod/dkms.conf", /(?<=^PACKAGE_VERSION=")[^"]+/m],
  ["kmod/README.md", /(?<=\/usr\/src\/ilm-lookup-)\S+/],
  ["kmod/README.md", /(?<=dkms install ilm-lookup\/)\S+/],
];

/** Why there is no release: what is wrong, and what would be right. */
export class Refusal extends Error {}

export async function release(version: string, folder = "."): Promise<void> {
  const git = (...words: readonly string[]): string =>
    execFileSync("git", words, { cwd: folder, encoding: "utf8" }).trim();
  const does = async (command: string, ...words: readonly string[]): Promise<void> => {
    console.log(`release: ${[command, ...words].join(" ")}`);
    await doStep(folder, command, words);
  };

  const tag = `v${version}`;
  refuseUnlessReady(version, {
    branch: git("rev-parse", "--abbrev-ref", "HEAD"),
    changed: git("status", "--porcelain"),
    tagged: git("tag", "--list", tag) !== "",
    now: versionOf(readFileSync(join(folder, "package.json"), "utf8")),
  });
  const before = git("rev-parse", "HEAD");
  try {
    writeVersion(version, today(), folder);
    await does("make", "generate");
    await does(".ci/run");
    await does("git", "commit", "--all", "--message", `Release ${version}`);
    await does("make", "package");
    writeSums(version, join(folder, PACKAGES));
    await does("git", "tag", "--annotate", "--message", `Release ${version}`, tag);
  } catch (error) {
    git("reset", "--quiet", "--hard", before);
    if (git("tag", "--list", tag) !== "") git("tag", "--delete", tag);
    throw new Refusal(`there is no release, and the checkout is as it was: ${String(error)}`);
  }
  console.log(`release: ${tag} is tagged, and ${PACKAGES} has its packages and SHA256SUMS.
To publish it: git push origin main ${tag}, and the files in ${PACKAGES}.`);
}

/**
 * Runs a step to its end. A signal that should end us ends the step, with all that it started, and
 * makes it fail, so that what it changed is taken back.
 */
async function doStep(cwd: string, command: string, words: readonly string[]): Promise<void> {
  const came: NodeJS.Signals[] = [];
  let running: number | undefined;
  let again: NodeJS.Timeout | undefined;
  const end = (signal: NodeJS.Signals): void => {
    came.push(signal);
    if (running === undefined) return;
    const group = -running;
    // Its process group: it is the first of one, as it is detached. A shell that is about to start
    // a command ends only after that.
    process.kill(group, signal);
    again ??= setInterval(() => process.kill(group, "SIGTERM"), 1000);
  };
  for (const signal of endings) process.on(signal, end);
  try {
    const step = spawn(command, words, {
      cwd,
      stdio: ["ignore", "inherit", "inherit"],
      detached: true,
    });
    running = step.pid;
    const [status, signal] = (await once(step, "exit")) as [number | null, NodeJS.Signals | null];
    running = undefined;
    if (came.length > 0) throw new Error(`${came.join(", ")} came during ${command}`);
    if (status !== 0) throw new Error(`${command} ended with ${status ?? signal}`);
  } finally {
    clearInterval(again);
    for (const signal of endings) process.off(signal, end);
  }
}

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

interface Checkout {
  readonly branch: string;
  /** What `git status --porcelain` says. */
  readonly changed: string;
  readonly tagged: boolean;
  /** The version that it has. */
  readonly now: string;
}

export function refuseUnlessReady(
  version: string,
  { branch, changed, tagged, now }: Checkout,
): void {
  if (!/^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/.test(version)) {
    throw new Refusal(`"${version}" is no version: write MAJOR.MINOR.PATCH, as in VERSION=1.0.0`);
  }
  if (isBefore(version, now)) throw new Refusal(`${version} comes before ${now}, which this is`);
  if (tagged) throw new Refusal(`v${version} is tagged already: a release never changes`);
  if (branch !== "main") throw new Refusal(`this is ${branch}: releases are made of main`);
  if (changed !== "") throw new Refusal(`commit or drop first:\n${changed}`);
}

function isBefore(one: string, other: string): boolean {
  const [a, b] = [one, other].map((version) => version.split(".").map(Number));
  const differing = a?.findIndex((part, index) => part !== b?.[index]) ?? -1;
  return differing >= 0 && (a?.[differing] ?? 0) < (b?.[differing] ?? 0);
}

function versionOf(manifest: string): string {
  return (JSON.parse(manifest) as { readonly version: string }).version;
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}

/** Writes the version where it belongs, and the date of the release into CHANGELOG.md. */
function writeVersion(version: string, date: string, folder: string): void {
  for (const [file, around] of places) {
    change(join(folder, file), around, version, "has no version where it used to be");
  }
  const unreleased = new RegExp(
    `(?<=^## ${version.replaceAll(".", "\\.")} )\\(unreleased\\)$`,
    "m",
  );
  const missing = `has no section "## ${version} (unreleased)": say there what is new`;
  change(join(folder, "CHANGELOG.md"), unreleased, `(${date})`, missing);
}

function change(path: string, what: RegExp, into: string, otherwise: string): void {
  const text = readFileSync(path, "utf8");
  if (!what.test(text)) throw new Refusal(`${path} ${otherwise}`);
  writeFileSync(path, text.replace(what, into));
}

/** Writes SHA256SUMS, as `sha256sum --check` reads it, of the version's packages. */
function writeSums(version: string, folder: string): void {
  const names = readdirSync(folder).filter(
    (name) => name.includes(version) && /\.(deb|tgz)$/.test(name),
  );
  const lines = names.toSorted().map((name) => {
    const sum = createHash("sha256")
      .update(readFileSync(join(folder, name)))
      .digest("hex");
    return `${sum}  ${basename(name)}\n`;
  });
  if (lines.length === 0) throw new Refusal(`${folder} has no package of ${version}`);
  writeFileSync(join(folder, "SHA256SUMS"), lines.join(""));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await release(process.argv[2] ?? "");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    console.error(`release: ${error.message}`);
    process.exitCode = 1;
  }
}
