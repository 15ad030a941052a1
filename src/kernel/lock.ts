/** One writer at a time per network namespace. The kernel drops the lock with the process, however it ends. */
import { closeSync, constants, fstatSync, ftruncateSync, readFileSync, writeSync } from "node:fs";
import { IlmError } from "../errors.js";
import { errnoOf } from "./ffi.js";
import type { Folder } from "./folder.js";
import { LOCK_EX, LOCK_NB, flock } from "./libc.js";
import { makeRuntimeFolder, notPermitted, openRuntimeFolder } from "./runtime-folder.js";

export interface WriterLock {
  release(): void;
}

const EWOULDBLOCK = 11;
const RETRY_MS = 20;

function lockName(inode: number): string {
  return `${inode}.lock`;
}

/** Of a namespace without state; whoever calls holds the lock. */
export function removeLockFile(inode: number): void {
  const folder = openRuntimeFolder();
  folder?.remove(lockName(inode));
  folder?.close();
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function holder(fd: number): string {
  // From its beginning, wherever the descriptor stands.
  const pid = readFileSync(`/proc/self/fd/${fd}`, "utf8").trim();
  return /^\d+$/.test(pid) ? `process ${pid}` : "another process";
}

function openLock(folder: Folder, inode: number): number {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;
  try {
    const fd = folder.openFile(lockName(inode), flags);
    if (fd !== undefined) return fd;
    throw new IlmError("INTERNAL", "a file that was to be made is not there");
  } catch (cause) {
    if (cause instanceof IlmError) throw cause;
    throw notPermitted(`${folder.path}/${lockName(inode)}`, cause);
  }
}

/** Whoever unloads removes the lock's file while holding it; a lock on the removed file locks nothing. */
function isCurrent(fd: number, folder: Folder, inode: number): boolean {
  const current = folder.openFile(lockName(inode));
  if (current === undefined) return false;
  const same = fstatSync(fd).ino === fstatSync(current).ino;
  closeSync(current);
  return same;
}

/**
 * Blocks the thread up to `waitMs` (default 2000): writers are short, except `run`. Throws LOCKED with the holder's pid,
 * UNSAFE_PATH, NOT_PERMITTED.
 */
export function acquireWriterLock(
  inode: number,
  { waitMs = 2000 }: { waitMs?: number } = {},
): WriterLock {
  const folder = makeRuntimeFolder();
  try {
    return lockIn(folder, inode, waitMs);
  } finally {
    folder.close();
  }
}

function lockIn(folder: Folder, inode: number, waitMs: number): WriterLock {
  let fd = openLock(folder, inode);
  const deadline = Date.now() + waitMs;
  for (;;) {
    try {
      flock(fd, LOCK_EX | LOCK_NB);
      if (isCurrent(fd, folder, inode)) break;
      closeSync(fd);
      fd = openLock(folder, inode);
    } catch (error) {
      if (errnoOf(error) !== EWOULDBLOCK) {
        closeSync(fd);
        throw error;
      }
      if (Date.now() < deadline) {
        sleep(RETRY_MS);
        continue;
      }
      const who = holder(fd);
      closeSync(fd);
      const path = `${folder.path}/${lockName(inode)}`;
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
