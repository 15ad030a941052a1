/**
 * Where to find a daemon. It is a module of its own, so that asking whether there is one costs
 * nothing.
 */
import { lstatSync, readlinkSync } from "node:fs";
import { basename, dirname } from "node:path";
import { nodeErrno } from "../errors.js";
import { Folder } from "../kernel/folder.js";
import { runtimePath } from "../kernel/runtime-folder.js";

/** The name of the socket in the host's own network namespace. */
export const hostSocketName = "ilm.sock";

/** Returns the name by which the daemon of a network namespace is found by the inode number. */
export function numberedSocketName(netnsInode: number): string {
  return `${netnsInode}.sock`;
}

/**
 * Returns the socket path of the `ilm run` in the network namespace with this inode number. In the
 * host's own that name is a link to ilm.sock, unless an earlier version of ilm made the socket.
 */
export function socketPath(netnsInode: number): string {
  const numbered = `${runtimePath}/${numberedSocketName(netnsInode)}`;
  return leadsToHostSocket(numbered) ? `${runtimePath}/${hostSocketName}` : numbered;
}

/** Reports whether this is the link that the daemon of the host's own namespace keeps. */
export function leadsToHostSocket(path: string): boolean {
  try {
    return readlinkSync(path) === hostSocketName;
  } catch (error) {
    // Not a link, or not there. Whoever then opens the folder is told what is wrong with it.
    const errno = nodeErrno(error);
    if (errno !== undefined && ["EINVAL", "ENOENT", "ENOTDIR", "EACCES", "ELOOP"].includes(errno)) {
      return false;
    }
    throw error;
  }
}

/** A socket in a folder that no other user can put anything into. */
export interface SocketPlace {
  /** The folder. The caller closes it after the last use of `path`. */
  readonly folder: Folder;
  readonly name: string;
  /** The path for bind() and connect(), which reaches the name in this very folder. */
  readonly path: string;
}

/** Opens the folder of a socket. Returns undefined when it does not exist. Throws UNSAFE_PATH. */
export function openSocketPlace(path: string): SocketPlace | undefined {
  const folder = Folder.openPrivate(dirname(path));
  const name = basename(path);
  return folder && { folder, name, path: folder.at(name) };
}

/**
 * Returns what distinguishes the socket at this path from others, or null when there is none.
 * Throws UNSAFE_PATH.
 */
export function socketIdentity(path: string): string | null {
  const place = openSocketPlace(path);
  if (place === undefined) return null;
  try {
    const stats = lstatSync(place.path, { bigint: true, throwIfNoEntry: false });
    return stats?.isSocket() === true ? `${stats.dev}:${stats.ino}` : null;
  } finally {
    place.folder.close();
  }
}

/** Reports whether something has the socket's name. Throws UNSAFE_PATH. */
export function socketExists(path: string): boolean {
  const place = openSocketPlace(path);
  const exists = place?.folder.has(place.name) ?? false;
  place?.folder.close();
  return exists;
}
