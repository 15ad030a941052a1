/**
 * Turns files, standard input and folders into texts. Whatever cannot be read becomes a problem
 * with its own words.
 */
import { readdir as readdirCall, stat as statCall } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { asSentence, IlmError, nodeErrno, unavailable, type Problem } from "../errors.js";
import { ownDescriptor, patiently, readInput, Unreadable, type InputOptions } from "./input.js";
import { Lines } from "./lines.js";
import { quote, wholeFile, type Place } from "./source.js";

const stat = promisify(statCall);
const readdir = promisify(readdirCall);

export const STDIN_NAME = "<stdin>";

/** The maximum number of configurations in one folder. */
const MAX_FILES = 10_000;
/** The maximum size of all files together, in bytes: 1 GiB. */
const MAX_TOTAL_BYTES = 1024 * 1024 * 1024;

export interface File {
  readonly name: string;
  readonly bytes: Buffer;
}

/** What paths hold, not yet parsed. */
export interface ReadResult {
  readonly files: readonly File[];
  /** The names of all files, including those that could not be read, in order. */
  readonly names: readonly string[];
  readonly problems: readonly Problem[];
  /** True for files and folders that another process can read again by the same paths. */
  readonly again: boolean;
}

/**
 * Reads each path in turn: a file, `-` for standard input, or a folder, whose *.yaml, *.yml, *.json
 * and *.ndjson are read in the order of their names, without hidden ones. Rejects with UNAVAILABLE,
 * which says nothing about the file, and with the reason of `signal`.
 */
export async function readFiles(
  paths: readonly string[],
  options: InputOptions = {},
): Promise<ReadResult> {
  const files: File[] = [];
  const names: string[] = [];
  const problems: Problem[] = [];
  let total = 0;
  let again = true;
  const attempt = async (name: string, read: () => Promise<void>): Promise<void> => {
    try {
      await read();
    } catch (error) {
      options.signal?.throwIfAborted();
      problems.push(toProblem(name, error));
    }
  };
  const readBefore = new Set<string>();
  const readInto = async (name: string, source: string, how: InputOptions): Promise<void> => {
    names.push(name);
    await attempt(name, async () => {
      if (readBefore.has(resolve(source))) {
        throw new Unreadable("this file is read twice", "give it once, alone or with its folder");
      }
      readBefore.add(resolve(source));
      const input = await readInput(source, how);
      const { bytes } = input;
      again &&= input.again;
      total += bytes.length;
      if (total > MAX_TOTAL_BYTES) {
        throw new Unreadable(
          "the files up to this one have more than 1 GiB, which is the most that is read",
          "write fewer or wider mappings (ranges, prefixes)",
        );
      }
      files.push({ name, bytes });
    });
  };
  for (const path of paths) {
    if (total > MAX_TOTAL_BYTES) break;
    if (ownDescriptor(path) !== null) {
      await readInto(path === "-" ? STDIN_NAME : path, path, options);
      continue;
    }
    await attempt(path, async () => {
      if (!(await isFolder(path, options))) return readInto(path, path, options);
      for (const name of await listFolder(path, options)) {
        await readInto(join(path, name), join(path, name), { ...options, filesOnly: true });
        if (total > MAX_TOTAL_BYTES) return;
      }
    });
  }
  return { files, names, problems, again };
}

/**
 * Reads a file of another program, or standard input. Throws NOT_FOUND when it cannot be read, and
 * UNAVAILABLE.
 */
export async function readText(path: string): Promise<string> {
  try {
    return (await readInput(path)).bytes.toString("utf8");
  } catch (cause) {
    const { message, hint } = toProblem(path, cause);
    throw new IlmError("NOT_FOUND", `${path}: ${message}`, {
      cause,
      remedy: asSentence(hint),
    });
  }
}

async function isFolder(path: string, options: InputOptions): Promise<boolean> {
  return (await patiently(path, options, () => stat(path))).isDirectory();
}

/** Reports whether a file of this name in a folder is read. */
export function isConfigurationName(name: string): boolean {
  return /^[^.].*\.(?:yaml|yml|json|ndjson)$/s.test(name);
}

async function listFolder(path: string, options: InputOptions): Promise<string[]> {
  const names = (await patiently(path, options, () => readdir(path)))
    .filter(isConfigurationName)
    .toSorted();
  if (names.length === 0) {
    throw new Unreadable(
      "the folder holds no configuration",
      "put files named *.yaml, *.yml, *.json or *.ndjson into it",
    );
  }
  if (names.length > MAX_FILES) {
    throw new Unreadable(
      `the folder holds ${names.length} files, and at most ${MAX_FILES} are read`,
      "put several mappings into one file",
    );
  }
  return names;
}

/** Returns the text of a file, or why it is not text. */
export function decodeFile({ name, bytes }: File): string | Problem {
  try {
    return decode(bytes);
  } catch (error) {
    return toProblem(name, error);
  }
}

/** Decodes UTF-8. Throws Unreadable. */
function decode(bytes: Buffer): string {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new Unreadable("the file is UTF-16", "save it as UTF-8");
  }
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    throw new Unreadable(
      "the file is not text: it has a NUL byte",
      "give a YAML or JSON file",
      placeOfByte(bytes, nul),
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Unreadable(
      "the file is not UTF-8",
      "save it as UTF-8, without characters of other encodings",
      placeOfByte(bytes, firstInvalidByte(bytes)),
    );
  }
}

/** Returns the offset of the first byte that is not UTF-8. The bytes must contain one. */
function firstInvalidByte(bytes: Buffer): number {
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline + 1;
    const line = bytes.subarray(start, end);
    if (!isUtf8(line, false)) return start + validBytes(line);
    start = end;
  }
  return 0;
}

/** Returns how many bytes of the line are the beginning of valid UTF-8, by bisection. */
function validBytes(line: Buffer): number {
  let low = 0;
  let high = line.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (isUtf8(line.subarray(0, middle), true)) low = middle;
    else high = middle - 1;
  }
  // If a character is cut short, its first byte is the culprit.
  while (low > 0 && !isUtf8(line.subarray(0, low), false)) low--;
  return low;
}

/** With `open`, the last character may be incomplete. */
function isUtf8(bytes: Buffer, open: boolean): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: open });
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

function placeOfByte(bytes: Buffer, offset: number): Place {
  const before = bytes.subarray(0, offset).toString("utf-8");
  return new Lines(before).placeOf(before.length);
}

const MAY_NOT_READ = [
  "this user may not read it",
  "change its mode or owner, or run as a user who may",
] as const;

const reasons: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  ENOENT: ["there is no such file", "check the path"],
  ENOTDIR: ["a part of the path is not a folder", "check the path"],
  EACCES: MAY_NOT_READ,
  EPERM: MAY_NOT_READ,
  ELOOP: ["the path is a loop of symbolic links", "fix the links"],
  ENAMETOOLONG: ["the path is too long", "check the path"],
  ENXIO: ["this is a socket or a device without a driver, not a file", "give a file"],
  EBADF: ["standard input is closed", "give a file, or pipe the configuration in"],
};

/**
 * Turns an error into a problem of the file. Throws UNAVAILABLE, which says nothing about the file.
 */
function toProblem(file: string, error: unknown): Problem {
  if (error instanceof IlmError) throw error;
  if (error instanceof Unreadable) {
    return problem(file, error.place, error.message, error.hint);
  }
  const code = nodeErrno(error);
  if (code === undefined) throw error;
  // Nothing is wrong with the file, and the next attempt may succeed.
  const short = unavailable(`${file} cannot be read`, code, error);
  if (short !== undefined) throw short;
  const [message, usual] = reasons[code] ?? [`it cannot be read: ${code}`, "check the file"];
  // A daemon of root's reads what root may read without capabilities (src/daemon/privileges.ts).
  const isRoot = reasons[code] === MAY_NOT_READ && process.geteuid?.() === 0;
  const hint = isRoot
    ? "give it to root, or start the daemon with `--keep CAP_DAC_READ_SEARCH`"
    : usual;
  return problem(file, wholeFile, message, hint);
}

function problem(file: string, place: Place, message: string, hint: string): Problem {
  return {
    severity: "error",
    file: file === "" ? quote("") : file,
    ...place,
    path: "",
    message,
    hint,
  };
}
