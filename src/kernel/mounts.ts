/** Finds where the kernel's file systems are mounted, from /proc/self/mountinfo (proc(5)). */
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { IlmError, nodeErrno, unavailable } from "../errors.js";
import { Folder } from "./folder.js";
import { mount } from "./libc.js";

interface Mount {
  readonly root: string;
  readonly path: string;
  readonly type: string;
}

const defaultBpffs = "/sys/fs/bpf";
/** From include/uapi/linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;
const CGROUP2_SUPER_MAGIC = 0x63677270;

function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Returns the mounts of a type. */
function mounts(type: string): Mount[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(` - ${type} `))
    .map((line) => {
      const fields = line.split(" ");
      const separator = fields.indexOf("-");
      return {
        root: unescape(fields[3] ?? ""),
        path: unescape(fields[4] ?? ""),
        type: fields[separator + 1] ?? "",
      };
    })
    .filter((entry) => entry.type === type);
}

/**
 * Returns the root of the cgroup v2 hierarchy, or undefined when none is mounted. It has to be the
 * root, as daemons may be anywhere below.
 */
export function findCgroup2(): string | undefined {
  const found = mounts("cgroup2");
  return (found.find((entry) => entry.root === "/") ?? found[0])?.path;
}

/**
 * Opens a mount point and checks that it has that file system. Returns undefined when it is gone by
 * then.
 */
function openMount(path: string, fileSystem: number): Folder | undefined {
  const folder = Folder.open(path);
  if (folder?.fileSystem === fileSystem) return folder;
  folder?.close();
  return undefined;
}

/**
 * Opens the root of the cgroup v2 hierarchy. The caller closes it. Throws NO_CGROUP2, UNSAFE_PATH.
 */
export function openCgroup2(): Folder {
  const path = findCgroup2();
  const folder = path === undefined ? undefined : openMount(path, CGROUP2_SUPER_MAGIC);
  if (folder !== undefined) return folder;
  throw new IlmError("NO_CGROUP2", "no cgroup v2 hierarchy is mounted", {
    remedy: "Mount it: mount -t cgroup2 none /sys/fs/cgroup/unified (systemd does so by itself)",
  });
}

/**
 * Returns the id of the root of the cgroup v2 hierarchy, which is the number of its inode
 * (include/linux/kernfs.h, kernfs_id_ino); 0, which no cgroup has, when none is mounted.
 */
export function rootCgroupId(): bigint {
  const path = findCgroup2();
  return path === undefined ? 0n : statSync(path, { bigint: true }).ino;
}

/** Returns where the BPF file system is mounted, or undefined when it is not. */
export function findBpffs(): string | undefined {
  const found = mounts("bpf");
  return (found.find((entry) => entry.path === defaultBpffs) ?? found[0])?.path;
}

/** Returns where the BPF file system is, or would be mounted. */
export function bpffsPath(): string {
  return findBpffs() ?? defaultBpffs;
}

/**
 * Opens the BPF file system. The caller closes it. Returns undefined when it is not mounted. Throws
 * UNSAFE_PATH.
 */
export function openBpffs(): Folder | undefined {
  const path = findBpffs();
  return path === undefined ? undefined : openMount(path, BPF_FS_MAGIC);
}

/**
 * Opens the BPF file system. The caller closes it. If it is not mounted, mounts it in the usual
 * place, for root only: by default the kernel lets all users create folders in it. Throws NO_BPFFS,
 * UNSAFE_PATH.
 */
export function mountBpffs(): Folder {
  const folder = openBpffs();
  if (folder !== undefined) return folder;
  try {
    if (!existsSync(defaultBpffs)) mkdirSync(defaultBpffs, { recursive: true });
    mount("bpf", defaultBpffs, "bpf", "mode=0700");
  } catch (cause) {
    if (cause instanceof IlmError && cause.code === "UNAVAILABLE") throw cause;
    const short = unavailable(`${defaultBpffs} cannot be made`, nodeErrno(cause) ?? "", cause);
    throw short ?? noBpffs({ cause });
  }
  const mounted = openBpffs();
  if (mounted === undefined) throw noBpffs({});
  return mounted;
}

function noBpffs(options: { readonly cause?: unknown }): IlmError {
  return new IlmError("NO_BPFFS", `the BPF file system is not mounted and could not be mounted`, {
    ...options,
    remedy: `Mount it: mount -t bpf -o mode=0700 bpf ${defaultBpffs}`,
  });
}
