/** Finds who holds the sockets. That takes a walk through /proc, so ask once for all of them. */
import type { Listener, Owner } from "../model/listener.js";

export async function ownersOf(
  listeners: readonly Listener[],
): Promise<(listener: Listener) => Owner | undefined> {
  const inodes = new Set(listeners.map((listener) => listener.inode).filter((inode) => inode > 0));
  if (inodes.size === 0) return () => undefined;
  const { findOwners } = await import("../kernel/procfs.js");
  const owners = findOwners(inodes);
  return (listener) => owners.get(listener.inode);
}
