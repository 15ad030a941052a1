/**
 * Runs the bundle's chunks, which are CommonJS, with the bytecode that V8 produced when they were
 * built: compiling them takes a seventh of a command. Another version of V8 cannot use that
 * bytecode, and compiles.
 */
import { openSync, readFileSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";

/**
 * The name of the bytecode file, in the folder of the chunks. The file has 4 bytes with the length
 * of the index (little endian), the index (JSON), and the bytecode.
 */
export const BYTECODE_FILE = "bytecode";

export interface BytecodeIndex {
  /** The process.versions.v8 that made the bytecode. */
  readonly v8: string;
  /**
   * The offset (from the end of the index) and length in bytes of each chunk's bytecode, by chunk.
   */
  readonly chunks: Readonly<Record<string, readonly [offset: number, length: number]>>;
}

/** Returns the bytecode of a chunk, or undefined when there is none. */
type BytecodeOf = (chunk: string) => Buffer | undefined;

/** Wraps a chunk on its first line, so that line numbers in a stack trace are those of the file. */
const WRAPPER = ["(function (exports, require, module, __filename) { ", "\n})"] as const;

export function scriptOf(folder: string, chunk: string, cachedData?: Buffer): Script {
  const filename = join(folder, chunk);
  const text = readFileSync(filename, "utf8");
  return new Script(`${WRAPPER[0]}${text}${WRAPPER[1]}`, {
    filename,
    ...(cachedData && { cachedData }),
  });
}

/**
 * Runs the chunk `entry` and those that it requires. Calls `ran` with each chunk's script before
 * the script runs.
 */
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
    // A bundle that another program made may have no bytecode; it runs all the same.
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
