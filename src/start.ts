/**
 * Runs the bundle's chunks, which are CommonJS, with the bytecode that V8 made of them when they
 * were built: compiling them takes a seventh of a command. Another version of V8 refuses that
 * bytecode, and compiles.
 */
import { openSync, readFileSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";

/**
 * In the folder of the chunks: 4 bytes with the length of the index (little endian), the index
 * (JSON), and the bytecode.
 */
export const BYTECODE_FILE = "bytecode";

export interface BytecodeIndex {
  /** process.versions.v8 of who made it. */
  readonly v8: string;
  /** Offset (from the end of the index) and length in bytes, by chunk. */
  readonly chunks: Readonly<Record<string, readonly [offset: number, length: number]>>;
}

/** Undefined when there is none for the chunk. */
type BytecodeOf = (chunk: string) => Buffer | undefined;

/** On the first line, so that places in a stack trace are those in the file. */
const WRAPPER = ["(function (exports, require, module, __filename) { ", "\n})"] as const;

export function scriptOf(folder: string, chunk: string, cachedData?: Buffer): Script {
  const filename = join(folder, chunk);
  const text = readFileSync(filename, "utf8");
  return new Script(`${WRAPPER[0]}${text}${WRAPPER[1]}`, {
    filename,
    ...(cachedData && { cachedData }),
  });
}

/** `ran` is told of each chunk's script before it runs. */
export function runChunk(
  folder: string,
  entry: string,
  bytecodeOf: BytecodeOf,
  ran: (chunk: string, script: Script) => void = () => {},
): void {
  const outside = createRequire(join(folder, entry));
  const loaded = new Map<string, { exports: unknown }>();
  const load = (request: string): unknown => {
    if (!request.startsWith("./")) return outside(request);
    const chunk = request.slice(2);
    const before = loaded.get(chunk);
    if (before !== undefined) return before.exports;
    const module = { exports: {} };
    loaded.set(chunk, module);
    const script = scriptOf(folder, chunk, bytecodeOf(chunk));
    ran(chunk, script);
    const body = script.runInThisContext() as (...args: readonly unknown[]) => void;
    body(module.exports, load, module, join(folder, chunk));
    return module.exports;
  };
  load(`./${entry}`);
}

export function start(folder: string, entry: string): void {
  runChunk(folder, entry, bytecodeIn(folder));
}

function bytecodeIn(folder: string): BytecodeOf {
  let fd: number;
  try {
    fd = openSync(join(folder, BYTECODE_FILE), "r");
  } catch (error) {
    // As with a bundle that somebody else made; it runs all the same.
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    return () => undefined;
  }
  const readAt = (offset: number, length: number): Buffer => {
    const bytes = Buffer.allocUnsafeSlow(length);
    readSync(fd, bytes, 0, length, offset);
    return bytes;
  };
  const length = readAt(0, 4).readUInt32LE();
  const { v8, chunks } = JSON.parse(readAt(4, length).toString()) as BytecodeIndex;
  if (v8 !== process.versions.v8) return () => undefined;
  return (chunk) => {
    const place = chunks[chunk];
    return place && readAt(4 + length + place[0], place[1]);
  };
}
