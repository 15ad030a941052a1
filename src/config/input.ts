/**
 * Reads the bytes of a file, a pipe or standard input. Nothing here blocks the thread: files are
 * opened with O_NONBLOCK and checked by their descriptor, the event loop waits for pipes, and a
 * silent writer is given up.
 */
import { createHash } from "node:crypto";
import {
  close as closeCall,
  constants,
  fstat as fstatCall,
  open as openCall,
  read as readCall,
  stat as statCall,
  type Stats,
} from "node:fs";
import { Socket } from "node:net";
import { isatty, ReadStream } from "node:tty";
import { promisify } from "node:util";

import { IlmError, nodeErrno } from "../errors.js";
import { withPatience } from "../patience.js";
import { tellWait } from "../progress.js";
import { blocksOf, digestOfBlock } from "./blocks.js";
import { wholeFile, type Place } from "./source.js";

const stat = promisify(statCall);
const open = promisify(openCall);
const fstat = promisify(fstatCall);
const close = promisify(closeCall);
const read = promisify(readCall);

/** The maximum size of a file in bytes, 256 MiB: some four million mappings in JSON. */
export const MAX_FILE_BYTES = 256 * 1024 * 1024;

export interface InputOptions {
  /**
   * Accept regular files only, because the input is read again and again, and a pipe gives its
   * content once.
   */
  readonly filesOnly?: boolean;
  /**
   * How long the input may be silent, in milliseconds; default: 30,000. A terminal may take as long
   * as it likes.
   */
  readonly patienceMs?: number;
  /** Ends reading with its reason. */
  readonly signal?: AbortSignal | undefined;
}

const PATIENCE_MS = 30_000;
/** After this long, the user is told what we are waiting for. */
const TELL_AFTER_MS = 2_000;
const LEASE_RETRY_MS = 100;
const CHUNK_BYTES = 1024 * 1024;
/**
 * The minimum size in bytes of a large file. A smaller one is always read at once: it has at most
 * some thousands of mappings.
 */
const LARGE_BYTES = 256 * 1024;
const DIGEST = "sha512-256";

/** Why a file cannot be read, in words. */
export class Unreadable extends Error {
  readonly hint: string;
  readonly place: Place;
  constructor(message: string, hint: string, place: Place = wholeFile) {
    super(message);
    this.hint = hint;
    this.place = place;
  }
}

/**
 * Returns our own descriptor that the path stands for, such as the shell's `<(...)`. Returns null
 * when it names another file.
 */
export function ownDescriptor(path: string): number | null {
  if (path === "-" || path === "/dev/stdin") return 0;
  const number = /^\/(?:dev|proc\/self)\/fd\/(\d{1,9})$/.exec(path)?.[1];
  return number === undefined ? null : Number(number);
}

export interface Input {
  readonly bytes: Buffer;
  /** True for a file, which another process can read again by the same path. */
  readonly again: boolean;
}

/**
 * Reads everything up to the end, even if the size was announced wrong. Throws Unreadable,
 * UNAVAILABLE, and errors of node:fs.
 */
export async function readInput(path: string, options: InputOptions = {}): Promise<Input> {
  const own = ownDescriptor(path);
  if (own !== null) {
    if (options.filesOnly === true) throw onlyOnce();
    return { bytes: await readDescriptor(own, path, options), again: false };
  }
  // Check before opening, which is enough to start some devices.
  judge(await patiently(path, options, () => stat(path)), -1, options);
  const descriptor = await patiently(path, options, () => openWithoutLease(path));
  let again = true;
  try {
    again = (await patiently(path, options, () => fstat(descriptor))).isFile();
    return { bytes: await readDescriptor(descriptor, path, options), again };
  } finally {
    // A stream closes its descriptor itself.
    if (again) close(descriptor).catch(() => undefined);
  }
}

/** A block of lines of a large file, as it was read. */
export interface SeenBlock {
  /** The digest from digestOfBlock. */
  readonly digest: string;
  /** The block's bytes; null when it is known by its digest. */
  readonly bytes: Buffer | null;
}

export interface InputDigest {
  /** The size in bytes. */
  readonly length: number;
  /**
   * SHA-512/256 in hexadecimal. On a processor without instructions for SHA-256, it takes a quarter
   * of the time.
   */
  readonly digest: string;
  /** The blocks of a large file of lines; empty for other files. */
  readonly blocks: readonly SeenBlock[];
}

/** Reports whether each line of the file stands on its own. */
function isOfLines(name: string): boolean {
  return name.endsWith(".ndjson");
}

function digestOfBlocks(length: number, blocks: readonly SeenBlock[]): InputDigest {
  const hash = createHash(DIGEST);
  for (const { digest } of blocks) hash.update(digest);
  return { length, digest: hash.digest("hex"), blocks };
}

/** Digests a file. `name` is the file's. */
export function digestOfBytes(name: string, bytes: Buffer): InputDigest {
  const { length } = bytes;
  if (length < LARGE_BYTES || !isOfLines(name)) {
    return { length, digest: createHash(DIGEST).update(bytes).digest("hex"), blocks: [] };
  }
  const blocks = [...blocksOf(bytes, true)];
  return digestOfBlocks(
    length,
    blocks.map((block) => ({ digest: digestOfBlock(block), bytes: block })),
  );
}

/**
 * Digests a large file, keeping no more than a chunk in memory, and returns its unknown blocks:
 * touching fresh pages costs more than the rest of reading. Returns null when the file is small or
 * not regular, or cannot be read; reading it in full then says why. `isKnown` tells by the digest
 * of a block.
 */
export async function digestLargeFile(
  path: string,
  options: InputOptions = {},
  isKnown: (digest: string) => boolean = () => true,
): Promise<InputDigest | null> {
  if (ownDescriptor(path) !== null) return null;
  let descriptor: number | undefined;
  try {
    const { size } = await patiently(path, options, () => stat(path));
    if (size < LARGE_BYTES) return null;
    const opened = await patiently(path, options, () => openWithoutLease(path));
    descriptor = opened;
    const stats = await patiently(path, options, () => fstat(opened));
    if (!stats.isFile() || stats.size > MAX_FILE_BYTES) return null;
    return await digestDescriptor(opened, path, options, isKnown);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof IlmError || nodeErrno(error) !== undefined) return null;
    throw error;
  } finally {
    if (descriptor !== undefined) close(descriptor).catch(() => undefined);
  }
}

/** Digests an open file. Returns null when it shrank, or grew beyond the limit. */
async function digestDescriptor(
  descriptor: number,
  path: string,
  options: InputOptions,
  isKnown: (digest: string) => boolean,
): Promise<InputDigest | null> {
  const ofLines = isOfLines(path);
  const hash = createHash(DIGEST);
  const blocks: SeenBlock[] = [];
  let chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  /** The number of bytes at the beginning of the chunk that are no whole block yet. */
  let left = 0;
  const takeBlocks = (filled: number, isLast: boolean): void => {
    let taken = 0;
    for (const block of blocksOf(chunk.subarray(0, filled), isLast)) {
      const digest = digestOfBlock(block);
      blocks.push({ digest, bytes: isKnown(digest) ? null : Buffer.from(block) });
      taken += block.length;
    }
    chunk.copyWithin(0, taken, filled);
    left = filled - taken;
  };
  for (let length = 0; ;) {
    const from = left;
    const call = (): Promise<{ bytesRead: number }> =>
      read(descriptor, chunk, from, chunk.length - from, null);
    const { bytesRead } = await patiently(path, options, call);
    if (bytesRead === 0) {
      // Let the caller read a file that is small now as such.
      if (length < LARGE_BYTES) return null;
      if (!ofLines) return { length, digest: hash.digest("hex"), blocks };
      takeBlocks(left, true);
      return digestOfBlocks(length, blocks);
    }
    length += bytesRead;
    if (length > MAX_FILE_BYTES) return null;
    if (!ofLines) {
      hash.update(chunk.subarray(0, bytesRead));
      continue;
    }
    takeBlocks(from + bytesRead, false);
    // The block is longer than the chunk.
    if (left === chunk.length) chunk = Buffer.concat([chunk, Buffer.allocUnsafe(chunk.length)]);
  }
}

/**
 * Returns the result of a call that depends on a file system. Throws UNAVAILABLE when that does not
 * answer.
 */
export function patiently<T>(
  path: string,
  { patienceMs = PATIENCE_MS, signal }: InputOptions,
  call: () => Promise<T>,
): Promise<T> {
  const late = (): Error =>
    new IlmError(
      "UNAVAILABLE",
      `${path} cannot be read: its file system did not answer for ${patienceMs / 1000} s`,
      {
        remedy: "Check that its server (NFS, FUSE) is reachable, or move the file to a local disk.",
      },
    );
  return withPatience(patienceMs, call, late, signal);
}

/**
 * Opens a file. A lease (fcntl(2), F_SETLEASE) makes the first attempt fail, and asks its holder to
 * give it up.
 */
async function openWithoutLease(path: string): Promise<number> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  for (;;) {
    try {
      return await open(path, flags);
    } catch (error) {
      if (nodeErrno(error) !== "EAGAIN") throw error;
      await new Promise((resolve) => setTimeout(resolve, LEASE_RETRY_MS));
    }
  }
}

async function readDescriptor(
  descriptor: number,
  path: string,
  options: InputOptions,
): Promise<Buffer> {
  const stats = await patiently(path, options, () => fstat(descriptor));
  judge(stats, descriptor, options);
  if (isatty(descriptor)) {
    tellWait("reading the configuration from the terminal; end it with Ctrl-D");
    return await readStream(new ReadStream(descriptor), path, { ...options, patienceMs: Infinity });
  }
  if (stats.isFIFO() || stats.isSocket()) {
    const stream = new Socket({ fd: descriptor, readable: true, writable: false });
    return await readStream(stream, path, options);
  }
  return await readFile(descriptor, path, stats, options);
}

/**
 * Checks what kind of file it is. Throws Unreadable unless it is a file or, if `filesOnly` allows,
 * something that gives its content once.
 */
function judge(stats: Stats, descriptor: number, { filesOnly = false }: InputOptions): void {
  if (stats.isFile()) {
    if (stats.size > MAX_FILE_BYTES) throw tooLarge(`the file has ${formatMebibytes(stats.size)}`);
    return;
  }
  if (stats.isDirectory()) {
    throw new Unreadable("this is a folder, not a file", "move its files up, or give its own path");
  }
  if (filesOnly) throw onlyOnce();
  if (stats.isFIFO() || (stats.isSocket() && descriptor >= 0)) return;
  if (stats.isCharacterDevice() && (isNull(stats) || isatty(descriptor))) return;
  throw new Unreadable(
    stats.isSocket() ? "this is a socket, not a file" : "this is a device, not a file",
    "give a file, or a pipe",
  );
}

/** Reports whether it is /dev/null, which counts as an empty file. */
function isNull({ rdev }: Stats): boolean {
  return rdev === 0x103;
}

function onlyOnce(): Unreadable {
  return new Unreadable(
    "this is not a regular file, and only a regular file can be re-read",
    "write the configuration to a file; `ilm apply -f` takes pipes, too",
  );
}

async function readFile(
  descriptor: number,
  path: string,
  stats: Stats,
  options: InputOptions,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  // Read one more byte than the file has, so that one call also finds its end.
  let chunkBytes = Math.max(64 * 1024, stats.size + 1);
  for (;;) {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const call = (): Promise<{ bytesRead: number }> =>
      read(descriptor, chunk, 0, chunk.length, null);
    const { bytesRead } = await patiently(path, options, call);
    if (bytesRead === 0) return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    total += bytesRead;
    if (total > MAX_FILE_BYTES) throw tooLarge("the file grows while it is read");
    chunks.push(chunk.subarray(0, bytesRead));
    chunkBytes = CHUNK_BYTES;
  }
}

function readStream(
  stream: Socket | ReadStream,
  path: string,
  { patienceMs = PATIENCE_MS, signal }: InputOptions,
): Promise<Buffer> {
  const name = path === "-" ? "standard input" : path;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    let timer: NodeJS.Timeout | undefined;
    const teller = setTimeout(() => {
      if (patienceMs > TELL_AFTER_MS && patienceMs !== Infinity) {
        tellWait(`waiting for ${name}, which may be silent for at most ${patienceMs / 1000} s`);
      }
    }, TELL_AFTER_MS);
    const onAbort = (): void => {
      end(() => {
        reject(signal?.reason as Error);
      });
    };
    function end(settle: () => void): void {
      clearTimeout(timer);
      clearTimeout(teller);
      signal?.removeEventListener("abort", onAbort);
      stream.destroy();
      settle();
    }
    function fail(error: Error): void {
      end(() => {
        reject(error);
      });
    }
    function wait(): void {
      clearTimeout(timer);
      if (patienceMs === Infinity) return;
      timer = setTimeout(() => {
        fail(silent(patienceMs, total));
      }, patienceMs);
    }
    signal?.addEventListener("abort", onAbort);
    stream.on("data", (chunk: Buffer) => {
      clearTimeout(teller);
      total += chunk.length;
      if (total > MAX_FILE_BYTES) {
        fail(tooLarge("more comes out of it"));
        return;
      }
      chunks.push(chunk);
      wait();
    });
    stream.on("end", () => {
      end(() => {
        resolve(Buffer.concat(chunks));
      });
    });
    stream.on("error", fail);
    wait();
  });
}

function silent(patienceMs: number, total: number): Unreadable {
  const seconds = patienceMs / 1000;
  return new Unreadable(
    total === 0
      ? `nothing was written to it for ${seconds} s`
      : `after ${total} bytes nothing more came for ${seconds} s, nor its end`,
    "check what its writer is doing, or have it write a file first and give that file",
  );
}

function tooLarge(found: string): Unreadable {
  return new Unreadable(
    `${found}, and at most ${formatMebibytes(MAX_FILE_BYTES)} are read`,
    "split it into several files in a folder",
  );
}

/** Formats a size, rounded up so that what exceeds a limit never looks like the limit. */
export function formatMebibytes(bytes: number): string {
  return `${Math.ceil((bytes / 1024 / 1024) * 10) / 10} MiB`;
}
