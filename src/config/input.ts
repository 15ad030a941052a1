/**
 * The bytes of a file, a pipe or standard input. Nothing here blocks the thread: files are opened with O_NONBLOCK and judged by
 * their descriptor, pipes are waited for by the event loop, and whoever sends nothing is given up.
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
import { wholeFile, type Place } from "./source.js";

const stat = promisify(statCall);
const open = promisify(openCall);
const fstat = promisify(fstatCall);
const close = promisify(closeCall);
const read = promisify(readCall);

/** 256 MiB: some four million mappings in JSON. */
export const MAX_FILE_BYTES = 256 * 1024 * 1024;

export interface InputOptions {
  /** Files only, as what is read again and again has to be: a pipe gives its content once. */
  readonly filesOnly?: boolean;
  /** How long nothing may come, in milliseconds; default 30,000. A terminal is waited for as long as it takes. */
  readonly patienceMs?: number;
  /** Ends reading with its reason. */
  readonly signal?: AbortSignal | undefined;
}

const PATIENCE_MS = 30_000;
/** Then it is told what is being waited for. */
const TELL_AFTER_MS = 2_000;
const LEASE_RETRY_MS = 100;
const CHUNK_BYTES = 1024 * 1024;
/** Of a smaller file all is read at once in any case. */
const LARGE_BYTES = CHUNK_BYTES;
const DIGEST = "sha512-256";

/** What keeps a file from being read, in its own words. */
export class Unreadable extends Error {
  readonly hint: string;
  readonly place: Place;
  constructor(message: string, hint: string, place: Place = wholeFile) {
    super(message);
    this.hint = hint;
    this.place = place;
  }
}

/** Our own descriptor that the path stands for: the shell's `<(...)` is one. Null: it is another file's name. */
export function ownDescriptor(path: string): number | null {
  if (path === "-" || path === "/dev/stdin") return 0;
  const number = /^\/(?:dev|proc\/self)\/fd\/(\d{1,9})$/.exec(path)?.[1];
  return number === undefined ? null : Number(number);
}

export interface Input {
  readonly bytes: Buffer;
  /** A file, which another process can read again by the same path. */
  readonly again: boolean;
}

/** Everything up to the end, however long it pretends to be. Throws Unreadable, UNAVAILABLE, and the errors of node:fs. */
export async function readInput(path: string, options: InputOptions = {}): Promise<Input> {
  const own = ownDescriptor(path);
  if (own !== null) {
    if (options.filesOnly === true) throw onlyOnce();
    return { bytes: await readDescriptor(own, path, options), again: false };
  }
  // Before it is opened, which is enough to start some devices.
  judge(await patiently(path, options, () => stat(path)), -1, options);
  const descriptor = await patiently(path, options, () => openWithoutLease(path));
  let again = true;
  try {
    again = (await patiently(path, options, () => fstat(descriptor))).isFile();
    return { bytes: await readDescriptor(descriptor, path, options), again };
  } finally {
    // A stream closes its descriptor by itself.
    if (again) close(descriptor).catch(() => undefined);
  }
}

export interface InputDigest {
  /** Bytes. */
  readonly length: number;
  /** SHA-512/256, hexadecimal: where a processor has no instructions for SHA-256 this takes a quarter of the time. */
  readonly digest: string;
}

export function digestOfBytes(bytes: Uint8Array): InputDigest {
  const digest = createHash(DIGEST).update(bytes).digest("hex");
  return { length: bytes.length, digest };
}

/**
 * The digest of a large file, of which no more than a chunk is ever in memory: pages that are touched for the first time cost more than
 * all else of a read. Null: it is small, or not a regular file; or it cannot be read, and who reads it whole says why.
 */
export async function digestLargeFile(
  path: string,
  options: InputOptions = {},
): Promise<InputDigest | null> {
  if (ownDescriptor(path) !== null) return null;
  let descriptor: number | undefined;
  try {
    const { size } = await patiently(path, options, () => stat(path));
    if (size < LARGE_BYTES) return null;
    descriptor = await patiently(path, options, () => openWithoutLease(path));
    const stats = await patiently(path, options, () => fstat(descriptor ?? -1));
    if (!stats.isFile() || stats.size > MAX_FILE_BYTES) return null;
    const hash = createHash(DIGEST);
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let length = 0; ;) {
      const call = (): Promise<{ bytesRead: number }> =>
        read(descriptor ?? -1, chunk, 0, chunk.length, null);
      const { bytesRead } = await patiently(path, options, call);
      if (bytesRead === 0) return { length, digest: hash.digest("hex") };
      length += bytesRead;
      if (length > MAX_FILE_BYTES) return null;
      hash.update(chunk.subarray(0, bytesRead));
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof IlmError || nodeErrno(error) !== undefined) return null;
    throw error;
  } finally {
    if (descriptor !== undefined) close(descriptor).catch(() => undefined);
  }
}

/** The result of a call that a file system has to answer. Throws UNAVAILABLE when it does not. */
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
        remedy: "See whether its server (NFS, FUSE) is there, or move the file to a local disk.",
      },
    );
  return withPatience(patienceMs, call, late, signal);
}

/** A lease (fcntl(2), F_SETLEASE) makes the first attempt fail, and asks its holder to give it up. */
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

/** Throws Unreadable for what is neither a file nor, unless only files will do, something that gives its content once. */
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

/** /dev/null, which is an empty file to everybody. */
function isNull({ rdev }: Stats): boolean {
  return rdev === 0x103;
}

function onlyOnce(): Unreadable {
  return new Unreadable(
    "this is not a regular file, and only such can be read again",
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
  // One more byte than it has, so that its end is seen in one go.
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
      ? `nobody wrote anything into it for ${seconds} s`
      : `after ${total} bytes nothing more came for ${seconds} s, nor its end`,
    "see what its writer is doing, or let it write a file first and give that",
  );
}

function tooLarge(found: string): Unreadable {
  return new Unreadable(
    `${found}, and at most ${formatMebibytes(MAX_FILE_BYTES)} are read`,
    "split it into several files in a folder",
  );
}

/** Rounded up, so that what is beyond a limit never looks like the limit. */
export function formatMebibytes(bytes: number): string {
  return `${Math.ceil((bytes / 1024 / 1024) * 10) / 10} MiB`;
}
