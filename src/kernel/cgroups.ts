/** Finds cgroups of the v2 hierarchy by their ids, as `ss --cgroup` does. */
import { closeSync, constants, openSync, readlinkSync } from "node:fs";
import { Errno } from "./errno.js";
import { SyscallFailure, checked, libcFunction } from "./ffi.js";
import { findCgroup2 } from "./mounts.js";

const nativeOpenByHandle = libcFunction<[number, Uint8Array, number], number>(
  "int open_by_handle_at(int mount_fd, void *handle, int flags)",
);

/** From include/linux/exportfs.h: a handle that is the 64-bit id of a kernfs node. */
const FILEID_KERNFS = 0xfe;
/** The size of struct file_handle's head, and of the id behind it, in bytes. */
const HEAD = 8;
const ID = 8;
/** There is no such cgroup any more, or we may not ask. */
const unknown: readonly number[] = [Errno.ESTALE, Errno.ENOENT, Errno.EPERM, Errno.EACCES];

function handleOf(id: bigint): Uint8Array {
  const handle = new DataView(new ArrayBuffer(HEAD + ID));
  handle.setUint32(0, ID, true);
  handle.setInt32(4, FILEID_KERNFS, true);
  handle.setBigUint64(HEAD, id, true);
  return new Uint8Array(handle.buffer);
}

function isUnknown(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof SyscallFailure && unknown.includes(cause.errno);
}

/** Returns the path of an open cgroup's folder, or undefined when its cgroup is unknown. */
function open(mount: number, id: bigint): string | undefined {
  let fd: number;
  try {
    fd = checked("open_by_handle_at", nativeOpenByHandle(mount, handleOf(id), constants.O_RDONLY));
  } catch (error) {
    if (isUnknown(error)) return undefined;
    throw error;
  }
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Maps ids of cgroups to their paths, such as `/system.slice/nginx.service`. Those that are gone,
 * or that are outside of our own cgroup namespace, are absent; all of them are, when no hierarchy
 * is mounted or we lack CAP_DAC_READ_SEARCH.
 */
export function cgroupPaths(ids: ReadonlySet<bigint>): Map<bigint, string> {
  const paths = new Map<bigint, string>();
  const root = ids.size === 0 ? undefined : findCgroup2();
  if (root === undefined) return paths;
  const mount = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const id of ids) {
      const path = open(mount, id);
      if (path === root) paths.set(id, "/");
      else if (path?.startsWith(`${root}/`) === true) paths.set(id, path.slice(root.length));
    }
  } finally {
    closeSync(mount);
  }
  return paths;
}
