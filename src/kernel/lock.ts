/**
 * Allows one writer at a time per network namespace. The kernel drops the lock with the process,
 * however it ends.
 */
import { Errno } from "./errno.js";
import { closeSync, constants, fstatSync, ftruncateSync, writeSync } from "node:fs";
import { IlmError } from "../errors.js";
import { errnoOf } from "./ffi.js";
import { unless, type Folder } from "./folder.js";
import { describeLockHolder, holderOf, lockName } from "./lock-holder.js";
import { LOCK_EX, LOCK_NB, flock } from "./libc.js";
import { cannotOpen, makeRuntimeFolder, openRuntimeFolder } from "./runtime-folder.js";

export interface WriterLock {
  /**
   * Reports whether the lock still keeps others out. It does not once its file is gone or replaced.
   */
  isCurrent(): boolean;
  release(): void;
}

const RETRY_MS = 20;

/** Removes the lock's file of a namespace without state. The caller holds the lock. */
export function removeLockFile(inode: number): void {
  const folder = openRuntimeFolder();
  folder?.remove(lockName(inode));
  folder?.close();
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function openLock(folder: Folder, inode: number): number {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;
  try {
    const fd = folder.openFile(lockName(inode), flags);
    if (fd !== undefined) return fd;
    throw new IlmError("INTERNAL", "a file that was to be made is not there");
  } catch (cause) {
    if (cause instanceof IlmError) throw cause;
    throw cannotOpen(`${folder.path}/${lockName(inode)}`, cause);
  }
}

/**
 * Reports whether the descriptor is still of the lock's file. `unload` removes the file while
 * holding the lock, and a lock on a removed file locks nothing.
 */
function isCurrent(fd: number, folder: Folder, inode: number): boolean {
  const current = folder.openFile(lockName(inode));
  if (current === undefined) return false;
  const same = fstatSync(fd).ino === fstatSync(current).ino;
  closeSync(current);
  return same;
}

/**
 * Takes the writer's lock, blocking the thread for up to `waitMs` (default: 2000): writers are
 * brief, except `run`. Throws LOCKED, which names the holder, UNSAFE_PATH, NOT_PERMITTED,
 * UNAVAILABLE.
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
  const deadline = performance.now() + waitMs;
  for (;;) {
    const fd = openLock(folder, inode);
    let ours = false;
    try {
      flock(fd, LOCK_EX | LOCK_NB);
      ours = isCurrent(fd, folder, inode);
      if (ours) return heldLock(fd, inode);
    } catch (error) {
      if (errnoOf(error) !== Errno.EWOULDBLOCK) throw error;
      if (performance.now() >= deadline) {
        const holder = holderOf(fstatSync(fd));
        const who = holder === null ? "another process" : describeLockHolder(holder);
        const path = `${folder.path}/${lockName(inode)}`;
        throw new IlmError("LOCKED", `another writer is running: ${who} holds ${path}`, {
          cause: error,
          remedy: "Wait for it, or stop it; a process that died holds no lock",
        });
      }
      sleep(RETRY_MS);
    } finally {
      if (!ours) closeSync(fd);
    }
  }
}

function heldLock(fd: number, inode: number): WriterLock {
  tellPid(fd);
  let held = true;
  return {
    isCurrent: () => {
      const folder = openRuntimeFolder();
      try {
        return held && folder !== undefined && isCurrent(fd, folder, inode);
      } finally {
        folder?.close();
      }
    },
    release: () => {
      if (!held) return;
      held = false;
      closeSync(fd);
    },
  };
}

/**
 * Writes our pid for people and scripts that look into the file. The lock itself is the kernel's,
 * so a full file system does not matter.
 */
function tellPid(fd: number): void {
  unless(["ENOSPC", "EDQUOT", "EIO"], () => {
    ftruncateSync(fd, 0);
    writeSync(fd, `${process.pid}\n`);
  });
}
