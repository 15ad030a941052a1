/**
 * Keeps a copy of the configuration that was right last, so that a daemon that starts with a wrong
 * one has rules to begin with. Pins do not survive a boot; the copy does.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { IlmError, nodeErrno } from "../errors.js";
import type { File, ReadResult } from "../config/read.js";

/** Where copies are kept; systemd names another folder with StateDirectory=. */
export function stateFolder(): string {
  return process.env["STATE_DIRECTORY"] ?? "/var/lib/ilm";
}

const VERSION = 1;

interface Copy {
  readonly version: number;
  /** The absolute path that the files were read from. */
  readonly source: string;
  /** When they were activated: ISO 8601, UTC. */
  readonly keptAt: string;
  readonly files: readonly { readonly name: string; readonly text: string }[];
}

export interface Good {
  readonly read: ReadResult;
  /** When the configuration was activated: ISO 8601, UTC. */
  readonly keptAt: string;
}

function pathOf(folder: string, source: string): string {
  const digest = createHash("sha256").update(source).digest("hex").slice(0, 32);
  return join(folder, `good-${digest}.json`);
}

/**
 * Keeps the files that were read from `source`, in the place of those that were kept before. Throws
 * SYSCALL when they cannot be written.
 */
export async function keepGood(
  source: string,
  files: readonly File[],
  folder = stateFolder(),
): Promise<void> {
  const texts = files.map(({ name, bytes }) => ({ name, text: bytes.toString("utf8") }));
  const copy: Copy = { version: VERSION, source, keptAt: new Date().toISOString(), files: texts };
  const path = pathOf(folder, source);
  const fresh = `${path}.new`;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // Configurations may be secret: they name networks and users.
    await writeFile(fresh, JSON.stringify(copy), { mode: 0o600, flush: true });
    await rename(fresh, path);
  } catch (cause) {
    throw cannot("written", path, cause);
  }
}

/**
 * Returns what was kept of `source`; null when there is nothing, or what another version kept.
 * Throws SYSCALL when it cannot be read.
 */
export async function readGood(source: string, folder = stateFolder()): Promise<Good | null> {
  const path = pathOf(folder, source);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (nodeErrno(cause) === "ENOENT") return null;
    throw cannot("read", path, cause);
  }
  const copy = parse(text);
  if (copy === null || copy.version !== VERSION || copy.source !== source) return null;
  const files = copy.files.map(({ name, text: own }) => ({ name, bytes: Buffer.from(own) }));
  const names = files.map(({ name }) => name);
  return { read: { files, names, problems: [], again: true }, keptAt: copy.keptAt };
}

/** A copy that was cut short is none. */
function parse(text: string): Copy | null {
  try {
    return JSON.parse(text) as Copy;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function cannot(what: string, path: string, cause: unknown): IlmError {
  return new IlmError("SYSCALL", `${path} cannot be ${what}: ${nodeErrno(cause) ?? "?"}`, {
    cause,
  });
}
