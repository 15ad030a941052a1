/**
 * Where a daemon is to be found. Apart from all else, so that asking whether there is one costs
 * nothing.
 */
import { lstatSync } from "node:fs";
import { basename, dirname } from "node:path";
import { Folder } from "../kernel/folder.js";
import { runtimePath } from "../kernel/runtime-folder.js";

/** The socket of the `run` that works in the network namespace of this inode number. */
export function socketPath(netnsInode: number): string {
  return `${runtimePath}/${netnsInode}.sock`;
}

/** A socket in a folder that nobody else can put anything into. */
export interface SocketPlace {
  /** To be closed, after the last use of `path`. */
  readonly folder: Folder;
  readonly name: string;
  /** For bind() and connect(): reaches the name in this very folder. */
  readonly path: string;
}

/** Undefined when the folder is not there. Throws UNSAFE_PATH. */
export function openSocketPlace(path: string): SocketPlace | undefined {
  const folder = Folder.openPrivate(dirname(path));
  const name = basename(path);
  return folder && { folder, name, path: folder.at(name) };
}

/** Tells the socket at this path from another; null when there is none. Throws UNSAFE_PATH. */
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

/** Throws UNSAFE_PATH. */
export function socketExists(path: string): boolean {
  const place = openSocketPlace(path);
  const exists = place?.folder.has(place.name) ?? false;
  place?.folder.close();
  return exists;
}
