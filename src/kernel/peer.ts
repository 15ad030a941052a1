/**
 * Tells who is at the other end of a unix socket, creates files that are private from the start,
 * and says which groups may connect.
 */
import { IlmError } from "../errors.js";
import { Errno } from "./errno.js";
import { errnoOf } from "./ffi.js";
import {
  SOL_SOCKET,
  SO_PEERCRED,
  SO_PEERGROUPS,
  getsockopt,
  getsockoptOfAnySize,
  lsetxattr,
  umask,
} from "./libc.js";

export interface PeerCredentials {
  readonly pid: number;
  /** The effective user, as this user namespace numbers users: root of another one is not 0. */
  readonly uid: number;
  /** The effective group and the supplementary ones. */
  readonly gids: readonly number[];
}

/** Enough for most users; the kernel says when it is not. */
const GROUPS_FIRST = 64;
const GID_BYTES = 4;

/**
 * Returns the credentials of the process that connected, at the time it did (unix(7), SO_PEERCRED;
 * net/core/sock.c, SO_PEERGROUPS).
 */
export function peerCredentials(fd: number): PeerCredentials {
  const view = new DataView(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, 12).buffer);
  const groups = getsockoptOfAnySize(fd, SOL_SOCKET, SO_PEERGROUPS, GROUPS_FIRST * GID_BYTES);
  const more = new Uint32Array(groups.slice().buffer);
  return {
    pid: view.getInt32(0, true),
    uid: view.getUint32(4, true),
    gids: [view.getUint32(8, true), ...more],
  };
}

/** POSIX ACLs as extended attributes (include/uapi/linux/posix_acl_xattr.h). */
const ACL_ATTRIBUTE = "system.posix_acl_access";
const ACL_VERSION = 2;
const ACL_TAGS = { owner: 0x01, owningGroup: 0x04, group: 0x08, mask: 0x10, others: 0x20 };
const ACL_NOBODY = 0xffffffff;
const READ_AND_WRITE = 6;

/**
 * Lets the members of these groups connect to a socket of ours, and nobody else but its owner. It
 * is an access control list, since a file has one group only, and giving a file to a group takes
 * CAP_CHOWN or membership. Throws SYSCALL, with a remedy where the file system has no such lists.
 */
export function letGroupsConnect(path: string, shown: string, gids: readonly number[]): void {
  const { owner, owningGroup, group, mask, others } = ACL_TAGS;
  // The kernel wants groups in the order of their numbers (fs/posix_acl.c, posix_acl_valid).
  const sorted = [...new Set(gids)].sort((a, b) => a - b);
  const entries = [
    [owner, READ_AND_WRITE, ACL_NOBODY],
    [owningGroup, 0, ACL_NOBODY],
    ...sorted.map((gid) => [group, READ_AND_WRITE, gid] as const),
    [mask, READ_AND_WRITE, ACL_NOBODY],
    [others, 0, ACL_NOBODY],
  ] as const;
  const bytes = new DataView(new ArrayBuffer(4 + entries.length * 8));
  bytes.setUint32(0, ACL_VERSION, true);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    const at = 4 + index * 8;
    bytes.setUint16(at, tag, true);
    bytes.setUint16(at + 2, permissions, true);
    bytes.setUint32(at + 4, id, true);
  }
  try {
    lsetxattr(path, ACL_ATTRIBUTE, new Uint8Array(bytes.buffer));
  } catch (cause) {
    if (errnoOf(cause) !== Errno.EOPNOTSUPP) throw cause;
    throw new IlmError("SYSCALL", `${shown} cannot be opened to groups: no access control lists`, {
      cause,
      remedy:
        "Mount a file system that has them, such as tmpfs, or run without --readers and --writers.",
    });
  }
}

/**
 * Runs `action` with the given umask. It must be synchronous, as the umask belongs to the whole
 * process.
 */
export function withUmask<T>(mask: number, action: () => T): T {
  const before = umask(mask);
  try {
    return action();
  } finally {
    umask(before);
  }
}
