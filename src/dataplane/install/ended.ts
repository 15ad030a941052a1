/**
 * State of network namespaces that ended. The kernel detaches what was on the namespace itself, but
 * programs on the root cgroup stay: they match nothing any more, and cost each listen(), bind() and
 * close() of the machine a look.
 */
import { IlmError } from "../../errors.js";
import { acquireWriterLock, removeLockFile } from "../../kernel/lock.js";
import { Pins, pinnedNamespaces } from "../../kernel/pins.js";
import { isNetnsInUse } from "../../kernel/procfs.js";

/**
 * A link on a namespace tells its inode number, and 0 when it has ended
 * (kernel/bpf/net_namespace.c); or when somebody detached the link, which is for whoever is in the
 * namespace to mend.
 */
function hasEnded(inode: number): boolean {
  const pins = Pins.open(inode);
  const link = pins?.lookupLink();
  const isAttached = link?.info().isAttached;
  link?.close();
  pins?.close();
  return isAttached === false && !isNetnsInUse(inode);
}

/** Inode numbers, as the folders are named. Throws UNSAFE_PATH. */
export function findEnded(): number[] {
  return pinnedNamespaces().filter(hasEnded);
}

/** `others`: the namespaces to look at. That of the caller, who holds its lock, is none of them. */
export function removeEnded(others: readonly number[]): void {
  for (const inode of others) {
    if (!hasEnded(inode)) continue;
    let lock;
    try {
      lock = acquireWriterLock(inode, { waitMs: 0 });
    } catch (error) {
      // A new namespace has the number, and somebody is at work in it.
      if (error instanceof IlmError && error.code === "LOCKED") continue;
      throw error;
    }
    try {
      if (!hasEnded(inode)) continue;
      const pins = Pins.open(inode);
      pins?.removeAll();
      pins?.close();
      removeLockFile(inode);
    } finally {
      lock.release();
    }
  }
}
