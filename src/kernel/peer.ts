/**
 * Tells who is at the other end of a unix socket, and creates files that are private from the
 * start.
 */
import { SOL_SOCKET, SO_PEERCRED, getsockopt, umask } from "./libc.js";

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Returns the credentials of the process that connected, at the time it did (unix(7), SO_PEERCRED).
 */
export function peerCredentials(fd: number): PeerCredentials {
  const view = new DataView(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, 12).buffer);
  return {
    pid: view.getInt32(0, true),
    uid: view.getUint32(4, true),
    gid: view.getUint32(8, true),
  };
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
