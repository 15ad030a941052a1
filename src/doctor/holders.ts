/** Finds who holds the sockets. That takes a walk through /proc, so ask once for all of them. */
import type { Holder, Listener } from "../model/listener.js";

export async function holdersOf(
  listeners: readonly Listener[],
): Promise<(listener: Listener) => Holder | undefined> {
  const inodes = new Set(listeners.map((listener) => listener.inode).filter((inode) => inode > 0));
  if (inodes.size === 0) return () => undefined;
  const { findHolders } = await import("../kernel/procfs.js");
  const { cgroupPaths } = await import("../kernel/cgroups.js");
  const holders = findHolders(inodes);
  const cgroups = cgroupPaths(new Set(listeners.map((listener) => BigInt(listener.cgroup))));
  return (listener) => {
    const holder = holders.get(listener.inode);
    const cgroup = cgroups.get(BigInt(listener.cgroup));
    return holder === undefined || cgroup === undefined ? holder : { ...holder, cgroup };
  };
}
