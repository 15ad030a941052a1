/** The network namespace of the main thread. */
import { type Stats, closeSync, openSync, statSync } from "node:fs";
import { MINIMUM_KERNEL } from "./minimum.js";
import { IlmError } from "../errors.js";
import {
  AF_INET,
  CLONE_NEWNET,
  SOCK_DGRAM,
  SOL_SOCKET,
  SO_NETNS_COOKIE,
  close,
  getsockopt,
  setns,
  socket,
} from "./libc.js";

/** The main thread's namespace: `/proc/self/ns` is that of the thread group's leader. */
export const ownNetnsPath = "/proc/self/ns/net";

/** The path by which this process entered its namespace; null when it was started in it. */
let enteredBy: string | null = null;

/**
 * Moves the main thread into a namespace, given as a path or a name below /run/netns. Must run
 * before anything creates threads or opens sockets. Throws NETNS or NOT_PERMITTED.
 */
export function enterNetns(pathOrName: string): void {
  const path = pathOrName.includes("/") ? pathOrName : `/run/netns/${pathOrName}`;
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw new IlmError("NETNS", `network namespace ${path} cannot be opened`, {
      cause,
      remedy:
        "Give a path such as /run/netns/NAME or /proc/PID/ns/net; `ip netns list` shows the names",
    });
  }
  try {
    setns(fd, CLONE_NEWNET);
  } catch (cause) {
    throw new IlmError("NETNS", `network namespace ${path} cannot be entered`, {
      cause,
      remedy: "It must be a network namespace, and this needs root (CAP_SYS_ADMIN)",
    });
  } finally {
    closeSync(fd);
  }
  enteredBy = path;
}

/**
 * Returns the path by which this process entered its namespace, when it leads there no more: it is
 * gone, or another namespace has the name. Returns null otherwise, and for paths of a process,
 * which end before their namespace.
 */
export function pathThatEnded(): string | null {
  if (enteredBy === null || enteredBy.startsWith("/proc/")) return null;
  const own = statSync(ownNetnsPath);
  let found: Stats | undefined;
  try {
    found = statSync(enteredBy, { throwIfNoEntry: false });
  } catch {
    // What cannot be looked at may well be there.
    return null;
  }
  return found?.ino === own.ino && found.dev === own.dev ? null : enteredBy;
}

/**
 * Returns the namespace's inode number. The kernel reuses it after a namespace has ended: never
 * trust it without the cookie.
 */
export function netnsInode(): number {
  return statSync(ownNetnsPath).ino;
}

/**
 * Reports whether this is the host's own network namespace: that of process 1, as /proc has it. A
 * container with an init of its own is a host in this sense. Each namespace has entries of its own
 * below /proc/PID/net, which takes no privilege to look at, unlike /proc/1/ns/net.
 */
export function isHostNetns(): boolean {
  const entryOf = (process: string): number | undefined =>
    statSync(`/proc/${process}/net/dev`, { throwIfNoEntry: false })?.ino;
  const own = entryOf("self");
  return own !== undefined && own === entryOf("1");
}

/**
 * Returns the namespace's cookie, which is unique until the next boot. Throws NO_BPF on kernels
 * before 5.14.
 */
export function netnsCookie(): bigint {
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  try {
    const bytes = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, 8);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  } catch (cause) {
    throw new IlmError("NO_BPF", "this kernel does not report a namespace's cookie", {
      cause,
      remedy: `Linux ${MINIMUM_KERNEL.join(".")} or newer is needed`,
    });
  } finally {
    close(fd);
  }
}
