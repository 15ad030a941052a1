/**
 * Reads /proc and /sys: who holds a socket, whether a namespace is in use, which CPUs there are.
 */
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { isEffective } from "./capabilities.js";
import type { Family } from "../model/address.js";
import type { Holder } from "../model/listener.js";
import type { PortRange } from "../model/mapping.js";

/**
 * Returns the result of `look`, or `otherwise` when the process is gone or we may not look:
 * processes end while we read, and lack of permission only means less to tell.
 */
function orGone<T>(look: () => T, otherwise: T): T {
  try {
    return look();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(code)) return otherwise;
    throw error;
  }
}

let userNames: Map<number, string> | undefined;

/** Returns the user's name from /etc/passwd, or the number as text when it has none there. */
export function userName(uid: number): string {
  if (userNames === undefined) {
    userNames = new Map();
    for (const line of orGone(() => readFileSync("/etc/passwd", "utf8"), "").split("\n")) {
      const [name, , id] = line.split(":");
      if (name !== undefined && id !== undefined) userNames.set(Number(id), name);
    }
  }
  return userNames.get(uid) ?? String(uid);
}

function describe(pid: string): Holder {
  const status = orGone(() => readFileSync(`/proc/${pid}/status`, "utf8"), "");
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
  const cgroup = orGone(() => readFileSync(`/proc/${pid}/cgroup`, "utf8"), "");
  return {
    pid: Number(pid),
    command: orGone(() => readFileSync(`/proc/${pid}/comm`, "utf8"), "").trim(),
    user: uid === undefined ? "" : userName(Number(uid)),
    cgroup: /^0::(.*)$/m.exec(cgroup)?.[1] ?? "",
    canBindLowPorts:
      uid !== undefined && uid !== "0" && hasLowPorts(status) && isInOurUserNamespace(pid),
  };
}

/** include/uapi/linux/capability.h */
const CAP_NET_BIND_SERVICE = 10n;

function hasLowPorts(status: string): boolean {
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> CAP_NET_BIND_SERVICE) & 1n) === 1n;
}

/** In another user namespace, capabilities are for what is in there. */
function isInOurUserNamespace(pid: string): boolean {
  const namespaceOf = (of: string): string => orGone(() => readlinkSync(`/proc/${of}/ns/user`), "");
  return namespaceOf(pid) === namespaceOf("self");
}

/**
 * Finds a process by its id, provided that one of its threads has the name `command`: ids are
 * given again, and other PID namespaces have other ids.
 */
export function findProcess(pid: number, command: string): Holder | undefined {
  const named = orGone(() => readdirSync(`/proc/${pid}/task`), []).some(
    (thread) =>
      orGone(() => readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8"), "").trimEnd() ===
      command,
  );
  return named ? describe(String(pid)) : undefined;
}

/**
 * Maps the given socket inodes to the processes that hold them. When several do, it picks the
 * lowest pid, which is the parent that listened before it forked; but any other before pid 1, which
 * opens sockets for services and keeps them (systemd). Walks all of /proc: ask for all inodes at
 * once.
 */
export function findHolders(inodes: ReadonlySet<number>): Map<number, Holder> {
  const holders = new Map<number, Holder>();
  if (inodes.size === 0) return holders;
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .sort((a, b) => Number(a) - Number(b));
  if (pids[0] === "1") pids.push(...pids.splice(0, 1));
  for (const pid of pids) {
    let holder: Holder | undefined;
    for (const fd of orGone(() => readdirSync(`/proc/${pid}/fd`), [])) {
      const target = orGone(() => readlinkSync(`/proc/${pid}/fd/${fd}`), "");
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode === undefined || !inodes.has(Number(inode)) || holders.has(Number(inode))) continue;
      holder ??= describe(pid);
      holders.set(Number(inode), holder);
    }
    if (holders.size === inodes.size) break;
  }
  return holders;
}

/**
 * Reports whether a process lives in the network namespace, holds it open, or sees it mounted
 * somewhere. Says so too when we lack the capability to look at the processes of others: what
 * cannot be seen may be there. Misses a namespace that only another one's devices or sockets keep
 * alive. Walks all of /proc.
 */
export function isNetnsInUse(inode: number): boolean {
  if (!isEffective("CAP_SYS_PTRACE")) return true;
  const name = `net:[${inode}]`;
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  const isAt = (path: string): boolean => orGone(() => readlinkSync(path), "") === name;
  if (pids.some((pid) => isAt(`/proc/${pid}/ns/net`))) return true;
  const mountNamespaces = new Set<string>();
  for (const pid of pids) {
    const mounts = orGone(() => readlinkSync(`/proc/${pid}/ns/mnt`), "");
    if (!mountNamespaces.has(mounts)) {
      mountNamespaces.add(mounts);
      // The root of such a mount is the namespace's name (fs/nsfs.c).
      const mounted = orGone(() => readFileSync(`/proc/${pid}/mountinfo`, "utf8"), "");
      if (mounted.includes(` ${name} `)) return true;
    }
    const fds = orGone(() => readdirSync(`/proc/${pid}/fd`), []);
    if (fds.some((fd) => isAt(`/proc/${pid}/fd/${fd}`))) return true;
  }
  return false;
}

/**
 * Reports whether lo is up. In a new namespace it is down until it is set up, and nothing on
 * 127.0.0.0/8 works.
 */
export function loopbackIsUp(): boolean {
  return (networkInterfaces()["lo"] ?? []).some((entry) => entry.address === "127.0.0.1");
}

/** Reports whether lo takes IPv6 addresses, also while it is down. */
export function loopbackTakesIpv6(): boolean {
  return existsSync("/proc/sys/net/ipv6") && sysctl("net.ipv6.conf.lo.disable_ipv6") !== "1";
}

export function sysctl(name: string): string | undefined {
  return orGone<string | undefined>(
    () => readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "utf8").trim(),
    undefined,
  );
}

/**
 * Returns a setting of an interface, or of `all`, such as `arp_ignore` of IPv4. The interface's
 * name may have dots.
 */
export function interfaceSetting(family: Family, name: string, key: string): string | undefined {
  return orGone<string | undefined>(
    () => readFileSync(`/proc/sys/net/ipv${family}/conf/${name}/${key}`, "utf8").trim(),
    undefined,
  );
}

/** The connections that netfilter follows in this network namespace. */
export interface Conntrack {
  readonly count: number;
  /** How many there can be. */
  readonly limit: number;
  /** How many packets it has dropped, mostly for want of room. */
  readonly dropped: number;
}

/** Returns how many connections netfilter follows; null when the kernel does not have that. */
export function conntrack(): Conntrack | null {
  const count = sysctl("net.netfilter.nf_conntrack_count");
  const limit = sysctl("net.netfilter.nf_conntrack_max");
  if (count === undefined || limit === undefined) return null;
  // A line of names, and one of hexadecimal numbers for each CPU.
  const [names = "", ...lines] = orGone(
    () => readFileSync("/proc/self/net/stat/nf_conntrack", "utf8").trim().split("\n"),
    [],
  );
  const column = names.split(/\s+/).indexOf("drop");
  const dropped = lines.map((line) => Number.parseInt(line.split(/\s+/)[column] ?? "0", 16));
  return {
    count: Number(count),
    limit: Number(limit),
    dropped: dropped.reduce((sum, one) => sum + one, 0),
  };
}

function portRange(text: string): PortRange {
  const [first = 0, last = first] = text.split(/[\s-]+/).map(Number);
  return { first, last };
}

/** Returns the ephemeral ports of this network namespace, or undefined without Linux's /proc. */
export function ephemeralPorts(): { range: PortRange; reserved: PortRange[] } | undefined {
  const range = sysctl("net.ipv4.ip_local_port_range");
  if (range === undefined) return undefined;
  const reserved = sysctl("net.ipv4.ip_local_reserved_ports") ?? "";
  return {
    range: portRange(range),
    reserved: reserved === "" ? [] : reserved.split(",").map(portRange),
  };
}

/**
 * Returns the first port of this network namespace that takes no privilege to bind, or undefined
 * without Linux's /proc.
 */
export function firstUnprivilegedPort(): number | undefined {
  const start = sysctl("net.ipv4.ip_unprivileged_port_start");
  return start === undefined ? undefined : Number(start);
}

/** Returns a number above that of every CPU this machine may have; some machines skip numbers. */
export function cpuNumbers(): number {
  // "0-3,8-11"
  const possible = readFileSync("/sys/devices/system/cpu/possible", "utf8").trim();
  return Number(possible.split(/[-,]/).at(-1)) + 1;
}

/** Reports whether the kernel has CONFIG_PREEMPT_RT. */
export function isRealTime(): boolean {
  return existsSync("/sys/kernel/realtime");
}
