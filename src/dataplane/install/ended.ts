/**
 * State of network namespaces that ended. The kernel detaches what was on the namespace itself, but
 * programs on the root cgroup stay: they match nothing any more, and still run on each listen(),
 * bind() and close() of the machine.
 */
import { IlmError } from "../../errors.js";
import { acquireWriterLock, removeLockFile } from "../../kernel/lock.js";
import { netnsInode } from "../../kernel/netns.js";
import { Pins, pinnedNamespaces } from "../../kernel/pins.js";
import { isNetnsInUse } from "../../kernel/procfs.js";
import { removeRuntimeHistory } from "../../kernel/state-folder.js";

/**
 * Reports whether the namespace has ended. Its link then says inode number 0
 * (kernel/bpf/net_namespace.c), but also when another process detached the link, which is for a
 * process in the namespace to fix.
 */
function hasEnded(inode: number): boolean {
  const pins = Pins.open(inode);
  const link = pins?.lookupLink();
  const isAttached = link?.info().isAttached;
  link?.close();
  pins?.close();
  return isAttached === false && !isNetnsInUse(inode);
}

/** Returns inode numbers, which name the folders. Throws UNSAFE_PATH. */
export function findEnded(): number[] {
  return pinnedNamespaces().filter(hasEnded);
}

/** Removes the state of all other namespaces that have ended. Throws UNSAFE_PATH. */
export function removeAllEnded(): void {
  const own = netnsInode();
  removeEnded(pinnedNamespaces().filter((inode) => inode !== own));
}

/**
 * Removes the state of those `others` that have ended. The caller's own namespace, whose lock it
 * holds, must not be among them.
 */
export function removeEnded(others: readonly number[]): void {
  for (const inode of others) {
    if (!hasEnded(inode)) continue;
    let lock;
    try {
      lock = acquireWriterLock(inode, { waitMs: 0 });
    } catch (error) {
      // A new namespace has the number, and it is in use.
      if (error instanceof IlmError && error.code === "LOCKED") continue;
      throw error;
    }
    try {
      if (!hasEnded(inode)) continue;
      const pins = Pins.open(inode);
      pins?.removeAll();
      pins?.close();
      removeLockFile(inode);
      removeRuntimeHistory(inode);
    } finally {
      lock.release();
    }
  }
}
