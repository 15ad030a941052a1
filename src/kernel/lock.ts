/** One writer at a time per network namespace. The kernel drops the lock with the process, however it ends. */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { IlmError } from "../errors.js";
import { errnoOf } from "./ffi.js";
import { LOCK_EX, LOCK_NB, flock } from "./libc.js";

export const runtimeFolder = "/run/ilm";

export interface WriterLock {
  release(): void;
}

const EWOULDBLOCK = 11;
const RETRY_MS = 20;

export function lockPath(inode: number): string {
  return `${runtimeFolder}/${inode}.lock`;
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function holder(path: string): string {
  const pid = readFileSync(path, "utf8").trim();
  return /^\d+$/.test(pid) ? `process ${pid}` : "another process";
}

function openLock(path: string): number {
  try {
    mkdirSync(runtimeFolder, { recursive: true, mode: 0o755 });
    return openSync(path, "a+", 0o600);
  } catch (cause) {
    throw new IlmError("NOT_PERMITTED", `the lock file ${path} cannot be opened`, {
      cause,
      remedy: "Run as root",
    });
  }
}

/** Whoever unloads removes the lock's file while holding it; a lock on the removed file locks nothing. */
function isCurrent(fd: number, path: string): boolean {
  return fstatSync(fd).ino === statSync(path, { throwIfNoEntry: false })?.ino;
}

/** Blocks the thread up to `waitMs` (default 2000): writers are short, except `run`. Throws LOCKED with the holder's pid. */
export function acquireWriterLock(
  inode: number,
  { waitMs = 2000 }: { waitMs?: number } = {},
): WriterLock {
  const path = lockPath(inode);
  let fd = openLock(path);
  const deadline = Date.now() + waitMs;
  for (;;) {
    try {
      flock(fd, LOCK_EX | LOCK_NB);
      if (isCurrent(fd, path)) break;
      closeSync(fd);
      fd = openLock(path);
    } catch (error) {
      if (errnoOf(error) !== EWOULDBLOCK) {
        closeSync(fd);
        throw error;
      }
      if (Date.now() < deadline) {
        sleep(RETRY_MS);
        continue;
      }
      const who = holder(path);
      closeSync(fd);
      throw new IlmError("LOCKED", `another writer is at work: ${who} holds ${path}`, {
        cause: error,
        remedy: "Wait for it, or stop it; a process that died holds no lock",
      });
    }
  }
  // Only so that others can say who it is: the lock itself is the kernel's.
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
  let held = true;
  return {
    release: () => {
      if (!held) return;
      held = false;
      closeSync(fd);
    },
  };
}
