/** Where the kernel's file systems are, from /proc/self/mountinfo (proc(5)). */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { IlmError } from "../errors.js";
import { mount } from "./libc.js";

interface Mount {
  readonly root: string;
  readonly path: string;
  readonly type: string;
}

const defaultBpffs = "/sys/fs/bpf";

function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function mounts(): Mount[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const fields = line.split(" ");
      const separator = fields.indexOf("-");
      return {
        root: unescape(fields[3] ?? ""),
        path: unescape(fields[4] ?? ""),
        type: fields[separator + 1] ?? "",
      };
    });
}

/** The root of the cgroup v2 hierarchy; undefined when none is mounted. It must be the root: daemons are everywhere below. */
export function findCgroup2(): string | undefined {
  const found = mounts().filter((entry) => entry.type === "cgroup2");
  return (found.find((entry) => entry.root === "/") ?? found[0])?.path;
}

export function cgroup2Path(): string {
  const path = findCgroup2();
  if (path !== undefined) return path;
  throw new IlmError("NO_CGROUP2", "no cgroup v2 hierarchy is mounted", {
    remedy: "Mount it: mount -t cgroup2 none /sys/fs/cgroup/unified (systemd does so by itself)",
  });
}

/** Where the BPF file system is mounted; undefined when it is not. */
export function findBpffs(): string | undefined {
  const found = mounts().filter((entry) => entry.type === "bpf");
  return (found.find((entry) => entry.path === defaultBpffs) ?? found[0])?.path;
}

/** Mounts the BPF file system where everybody expects it when it is nowhere. */
export function mountBpffs(): string {
  const path = findBpffs();
  if (path !== undefined) return path;
  try {
    if (!existsSync(defaultBpffs)) mkdirSync(defaultBpffs, { recursive: true });
    mount("bpf", defaultBpffs, "bpf");
  } catch (cause) {
    throw new IlmError("NO_BPFFS", `the BPF file system is not mounted and could not be mounted`, {
      cause,
      remedy: `Mount it: mount -t bpf bpf ${defaultBpffs}`,
    });
  }
  return defaultBpffs;
}
