/** Finds who holds the sockets. That takes a walk through /proc, so ask once for all of them. */
import type { Holder, Listener } from "../model/listener.js";

export async function holdersOf(
  listeners: readonly Listener[],
): Promise<(listener: Listener) => Holder | undefined> {
  const inodes = new Set(listeners.map((listener) => listener.inode).filter((inode) => inode > 0));
  if (inodes.size === 0) return () => undefined;
  const { findHolders } = await import("../kernel/procfs.js");
  const holders = findHolders(inodes);
  return (listener) => holders.get(listener.inode);
}
