/** Files, standard input and folders -> texts; whatever cannot be read is a problem with its own words. */
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  type Stats,
} from "node:fs";
import { join } from "node:path";

import type { Problem } from "../errors.js";
import { Lines } from "./lines.js";
import { quote, wholeFile, type Place } from "./source.js";

/** 256 MiB: some four million mappings in JSON. */
export const MAX_FILE_BYTES = 256 * 1024 * 1024;

export const STDIN_NAME = "<stdin>";

export interface File {
  readonly name: string;
  readonly text: string;
}

export interface ReadResult {
  readonly files: readonly File[];
  /** Names of all files, also of those that could not be read, in order. */
  readonly names: readonly string[];
  readonly problems: readonly Problem[];
}

class Unreadable extends Error {
  readonly hint: string;
  readonly place: Place;
  constructor(message: string, hint: string, place: Place = wholeFile) {
    super(message);
    this.hint = hint;
    this.place = place;
  }
}

/** A file, `-` for standard input, or a folder: its *.yaml, *.yml, *.json and *.ndjson in the order of their names, hidden ones left out. */
export function readFiles(path: string): ReadResult {
  const files: File[] = [];
  const names: string[] = [];
  const problems: Problem[] = [];
  const attempt = (name: string, read: () => void): void => {
    try {
      read();
    } catch (error) {
      problems.push(toProblem(name, error));
    }
  };
  const readInto = (name: string, source: string | 0): void => {
    names.push(name);
    attempt(name, () => files.push({ name, text: decode(readBytes(source)) }));
  };
  if (path === "-") {
    readInto(STDIN_NAME, 0);
  } else {
    attempt(path, () => {
      if (!statSync(path).isDirectory()) return readInto(path, path);
      for (const name of listFolder(path)) readInto(join(path, name), join(path, name));
    });
  }
  return { files, names, problems };
}

function listFolder(path: string): string[] {
  const names = readdirSync(path)
    .filter((name) => /^[^.].*\.(?:yaml|yml|json|ndjson)$/s.test(name))
    .toSorted();
  if (names.length === 0) {
    throw new Unreadable(
      "the folder holds no configuration",
      "put files named *.yaml, *.yml, *.json or *.ndjson into it",
    );
  }
  return names;
}

/** Everything up to the end, however long the kind of file pretends to be. */
function readBytes(source: string | 0): Buffer {
  const descriptor = source === 0 ? 0 : openSync(source, "r");
  try {
    const stats = fstatSync(descriptor);
    if (stats.isDirectory()) {
      throw new Unreadable(
        "this is a folder, not a file",
        "move its files up, or give its own path",
      );
    }
    if (stats.size > MAX_FILE_BYTES) throw tooLarge();
    return readToEnd(descriptor, stats);
  } finally {
    if (source !== 0) closeSync(descriptor);
  }
}

function readToEnd(descriptor: number, stats: Stats): Buffer {
  const chunks: Buffer[] = [];
  let total = 0;
  let chunkBytes = Math.max(64 * 1024, stats.size + 1);
  for (;;) {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const bytesRead = readWaiting(descriptor, chunk);
    if (bytesRead === 0) return Buffer.concat(chunks);
    total += bytesRead;
    if (total > MAX_FILE_BYTES) throw tooLarge();
    chunks.push(chunk.subarray(0, bytesRead));
    chunkBytes = 1024 * 1024;
  }
}

/** Standard input may have been set non-blocking by whoever shares it; then wait for it. */
function readWaiting(descriptor: number, chunk: Buffer): number {
  for (;;) {
    try {
      return readSync(descriptor, chunk);
    } catch (error) {
      if (errnoOf(error) !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

function tooLarge(): Unreadable {
  return new Unreadable(
    `the file is larger than ${MAX_FILE_BYTES / 1024 / 1024} MiB`,
    "split it into several files in a folder",
  );
}

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

/** Offset of the first byte that is not UTF-8, of bytes that are not. */
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

/** How many bytes of the line are the beginning of valid UTF-8, by halving. */
function validBytes(line: Buffer): number {
  let low = 0;
  let high = line.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (isUtf8(line.subarray(0, middle), true)) low = middle;
    else high = middle - 1;
  }
  // A character that is cut short is the culprit from its first byte on.
  while (low > 0 && !isUtf8(line.subarray(0, low), false)) low--;
  return low;
}

/** With `open`, the last character may be unfinished. */
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

const reasons: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  ENOENT: ["there is no such file", "check the path"],
  ENOTDIR: ["a part of the path is not a folder", "check the path"],
  EACCES: ["this user may not read it", "change its mode or owner, or run as a user who may"],
  EPERM: ["this user may not read it", "change its mode or owner, or run as a user who may"],
  ELOOP: ["the path is a loop of symbolic links", "mend the links"],
  ENAMETOOLONG: ["the path is too long", "check the path"],
  ENXIO: ["this is a socket or a device without a driver, not a file", "give a file"],
  EBADF: ["standard input is closed", "give a file, or pipe the configuration in"],
};

function toProblem(file: string, error: unknown): Problem {
  if (error instanceof Unreadable) {
    return problem(file, error.place, error.message, error.hint);
  }
  const code = errnoOf(error);
  if (code === null) throw error;
  const [message, hint] = reasons[code] ?? [`it cannot be read: ${code}`, "check the file"];
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

function errnoOf(error: unknown): string | null {
  if (!(error instanceof Error) || !("code" in error)) return null;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : null;
}
