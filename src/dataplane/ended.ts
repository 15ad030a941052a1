/**
 * State of network namespaces that ended. The kernel detaches what was on the namespace itself, but programs on the root
 * cgroup stay: they match nothing any more, and cost each listen(), bind() and close() of the machine a look.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { openLink } from "../kernel/bpf.js";
import { IlmError } from "../errors.js";
import { acquireWriterLock, lockPath } from "../kernel/lock.js";
import { PinPaths, removeFolder } from "./paths.js";

/** A link on a namespace tells its inode number, and 0 when it has ended (kernel/bpf/net_namespace.c). */
function hasEnded(paths: PinPaths): boolean {
  const link = openLink(paths.lookupLink);
  if (link === undefined) return false;
  const { netnsInode } = link.info();
  link.close();
  return netnsInode === 0;
}

/** Inode numbers, as the folders are named. */
export function findEnded(bpffs: string): number[] {
  const { parent } = new PinPaths(bpffs, 0);
  if (!existsSync(parent)) return [];
  return readdirSync(parent)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((inode) => hasEnded(new PinPaths(bpffs, inode)));
}

/** But for that of `own`, whose caller holds the lock and deals with it. */
export function removeEnded(own: PinPaths): void {
  for (const inode of findEnded(own.bpffs)) {
    const paths = new PinPaths(own.bpffs, inode);
    if (paths.base === own.base) continue;
    let lock;
    try {
      lock = acquireWriterLock(inode, { waitMs: 0 });
    } catch (error) {
      // A new namespace has the number, and somebody is at work in it.
      if (error instanceof IlmError && error.code === "LOCKED") continue;
      throw error;
    }
    try {
      if (!hasEnded(paths)) continue;
      removeFolder(paths.base);
      rmSync(lockPath(inode), { force: true });
    } finally {
      lock.release();
    }
  }
}
