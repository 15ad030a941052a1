/**
 * Keeps a copy of the configuration that was right last, so that a daemon that starts with a wrong
 * one has rules to begin with. Pins do not survive a boot; the copy does.
 */
import { createHash } from "node:crypto";
import type { File, ReadResult } from "../config/read.js";
import { Folder } from "../kernel/folder.js";
import { makeStateFolder, stateError, stateFolder } from "../kernel/state-folder.js";

const VERSION = 1;

/** The maximum size of all files of a copy, in bytes: 16 MiB, which is also the most of YAML. */
const MAX_COPY_BYTES = 16 * 1024 * 1024;

interface Copy {
  readonly version: number;
  /** The absolute paths that the files were read from, joined by NUL. */
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

/** Names sources by one text, which for a single path is that path. */
function keyOf(sources: readonly string[]): string {
  return sources.join("\0");
}

function nameOf(source: string): string {
  return `good-${createHash("sha256").update(source).digest("hex").slice(0, 32)}.json`;
}

/**
 * Keeps the files that were read from `sources`, in the place of those that were kept before. Keeps
 * none, and returns false, when they are too large. Throws UNSAFE_PATH, and SYSCALL when they
 * cannot be written.
 */
export async function keepGood(
  sources: readonly string[],
  files: readonly File[],
  path = stateFolder(),
): Promise<boolean> {
  if (files.reduce((sum, { bytes }) => sum + bytes.length, 0) > MAX_COPY_BYTES) return false;
  const texts = files.map(({ name, bytes }) => ({ name, text: bytes.toString("utf8") }));
  const source = keyOf(sources);
  const copy: Copy = { version: VERSION, source, keptAt: new Date().toISOString(), files: texts };
  const folder = makeStateFolder(path);
  const name = nameOf(source);
  try {
    // Configurations may be secret: they name networks and users.
    await folder.replaceText(name, JSON.stringify(copy), 0o600);
    return true;
  } catch (cause) {
    throw stateError("written", `${path}/${name}`, cause);
  } finally {
    folder.close();
  }
}

/**
 * Returns what was kept of `sources`; null when there is nothing, or what another version kept.
 * Throws UNSAFE_PATH, and SYSCALL when it cannot be read.
 */
export function readGood(sources: readonly string[], path = stateFolder()): Good | null {
  const source = keyOf(sources);
  const text = readCopy(nameOf(source), path);
  const copy = text === undefined ? null : parse(text);
  if (copy === null || copy.version !== VERSION || copy.source !== source) return null;
  const files = copy.files.map(({ name, text: own }) => ({ name, bytes: Buffer.from(own) }));
  const names = files.map(({ name }) => name);
  return { read: { files, names, problems: [], again: true }, keptAt: copy.keptAt };
}

function readCopy(name: string, path: string): string | undefined {
  const folder = Folder.openPrivate(path);
  try {
    return folder?.readText(name);
  } catch (cause) {
    throw stateError("read", `${path}/${name}`, cause);
  } finally {
    folder?.close();
  }
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
