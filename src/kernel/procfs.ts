/** What /proc and /sys say: who holds a socket, which interfaces there are. */
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { Owner } from "../model/listener.js";
import type { PortRange } from "../model/mapping.js";

/**
 * Processes end while we look: what is gone is no error. Not being allowed to look is not either,
 * just less to tell.
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

/** From /etc/passwd; the number as text when it has no name there. */
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

function describe(pid: string): Owner {
  const status = orGone(() => readFileSync(`/proc/${pid}/status`, "utf8"), "");
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
  const cgroup = orGone(() => readFileSync(`/proc/${pid}/cgroup`, "utf8"), "");
  return {
    pid: Number(pid),
    command: orGone(() => readFileSync(`/proc/${pid}/comm`, "utf8"), "").trim(),
    user: uid === undefined ? "" : userName(Number(uid)),
    cgroup: /^0::(.*)$/m.exec(cgroup)?.[1] ?? "",
  };
}

/**
 * Socket inode -> the process that holds it, for those asked for. The lowest pid when several do,
 * which is the parent that listened before it forked; but any other before pid 1, which opens
 * sockets for services and keeps them (systemd). Walks all of /proc: ask for all at once.
 */
export function findOwners(inodes: ReadonlySet<number>): Map<number, Owner> {
  const owners = new Map<number, Owner>();
  if (inodes.size === 0) return owners;
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .sort((a, b) => Number(a) - Number(b));
  if (pids[0] === "1") pids.push(...pids.splice(0, 1));
  for (const pid of pids) {
    let owner: Owner | undefined;
    for (const fd of orGone(() => readdirSync(`/proc/${pid}/fd`), [])) {
      const target = orGone(() => readlinkSync(`/proc/${pid}/fd/${fd}`), "");
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode === undefined || !inodes.has(Number(inode)) || owners.has(Number(inode))) continue;
      owner ??= describe(pid);
      owners.set(Number(inode), owner);
    }
    if (owners.size === inodes.size) break;
  }
  return owners;
}

/**
 * Does a process live in the network namespace, hold it open, or see it mounted somewhere? One that
 * only another namespace's devices or sockets hold is not found. Walks all of /proc.
 */
export function isNetnsInUse(inode: number): boolean {
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
      if (orGone(() => readFileSync(`/proc/${pid}/mountinfo`, "utf8"), "").includes(` ${name} `)) {
        return true;
      }
    }
    const fds = orGone(() => readdirSync(`/proc/${pid}/fd`), []);
    if (fds.some((fd) => isAt(`/proc/${pid}/fd/${fd}`))) return true;
  }
  return false;
}

/** False in a new namespace until somebody sets it up: nothing on 127.0.0.0/8 works then. */
export function loopbackIsUp(): boolean {
  return (networkInterfaces()["lo"] ?? []).some((entry) => entry.address === "127.0.0.1");
}

export function sysctl(name: string): string | undefined {
  return orGone<string | undefined>(
    () => readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "utf8").trim(),
    undefined,
  );
}

function portRange(text: string): PortRange {
  const [first = 0, last = first] = text.split(/[\s-]+/).map(Number);
  return { first, last };
}

/** Of this network namespace. Undefined where there is no /proc, or not Linux's. */
export function ephemeralPorts(): { range: PortRange; reserved: PortRange[] } | undefined {
  const range = sysctl("net.ipv4.ip_local_port_range");
  if (range === undefined) return undefined;
  const reserved = sysctl("net.ipv4.ip_local_reserved_ports") ?? "";
  return {
    range: portRange(range),
    reserved: reserved === "" ? [] : reserved.split(",").map(portRange),
  };
}

/** Every CPU that this machine may get has a number below this; some machines leave numbers out. */
export function cpuNumbers(): number {
  // "0-3,8-11"
  const possible = readFileSync("/sys/devices/system/cpu/possible", "utf8").trim();
  return Number(possible.split(/[-,]/).at(-1)) + 1;
}

/** CONFIG_PREEMPT_RT. */
export function isRealTime(): boolean {
  return existsSync("/sys/kernel/realtime");
}
