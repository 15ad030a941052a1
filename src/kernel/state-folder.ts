/** /var/lib/ilm: what survives a boot. Root alone may look into it. */
import { statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { IlmError, nodeErrno } from "../errors.js";
import { Folder, unless } from "./folder.js";
import { makeRuntimeFolder, openRuntimeFolder } from "./runtime-folder.js";

/** Where it is; systemd names another folder with StateDirectory=. */
export function stateFolder(): string {
  return process.env["STATE_DIRECTORY"] ?? "/var/lib/ilm";
}

/** Opens the folder, and creates it when it does not exist. Throws UNSAFE_PATH and SYSCALL. */
export function makeStateFolder(path = stateFolder()): Folder {
  const around = Folder.open(dirname(path));
  if (around === undefined) {
    throw new IlmError("SYSCALL", `there is no folder ${dirname(path)}`);
  }
  try {
    return around.makeFolder(basename(path));
  } catch (cause) {
    throw stateError("created", path, cause);
  } finally {
    around.close();
  }
}

/** Returns the error for what could not be done with a file of the state. */
export function stateError(done: string, path: string, cause: unknown): IlmError {
  if (cause instanceof IlmError) return cause;
  return new IlmError("SYSCALL", `${path} cannot be ${done}: ${nodeErrno(cause) ?? "?"}`, {
    cause,
  });
}

const HISTORY = "history";

/** The name of the folder in /run/ilm that has the history of another namespace than the host's. */
function nameInRun(inode: number): string {
  return `history-${inode}`;
}

/**
 * Reports whether the namespace is our own, and the one that the host (or container) started with.
 * Others end with the boot, and their numbers mean nothing after it. /proc/1/ns/net takes a
 * capability that a daemon has given up; /proc/1/net does not, and each network namespace has files
 * of its own there (fs/proc/proc_net.c).
 */
export function isHostsNetns(inode: number): boolean {
  const inodeOf = (path: string): number | undefined =>
    unless(["ENOENT", "EACCES", "EPERM"], () => statSync(path).ino);
  if (inodeOf("/proc/self/ns/net") !== inode) return false;
  const first = inodeOf("/proc/1/net/dev");
  return first !== undefined && first === inodeOf("/proc/self/net/dev");
}

/**
 * Opens the folder with the history of changes of a network namespace: in the state folder for the
 * host's own, in /run/ilm for any other. The caller closes it. Returns undefined when there is
 * none. Throws UNSAFE_PATH.
 */
export function openHistoryFolder(inode: number): Folder | undefined {
  const hosts = isHostsNetns(inode);
  const around = hosts ? Folder.openPrivate(stateFolder()) : openRuntimeFolder();
  try {
    return around?.folder(hosts ? HISTORY : nameInRun(inode));
  } finally {
    around?.close();
  }
}

/** Opens the same folder, and creates it when it does not exist. Throws UNSAFE_PATH, SYSCALL. */
export function makeHistoryFolder(inode: number): Folder {
  const hosts = isHostsNetns(inode);
  const around = hosts ? makeStateFolder() : makeRuntimeFolder();
  const name = hosts ? HISTORY : nameInRun(inode);
  try {
    return around.makeFolder(name);
  } catch (cause) {
    throw stateError("created", `${around.path}/${name}`, cause);
  } finally {
    around.close();
  }
}

/** Removes the history of a namespace that has ended, or was unloaded; the host's own stays. */
export function removeRuntimeHistory(inode: number): void {
  const folder = openRuntimeFolder();
  try {
    folder?.remove(nameInRun(inode));
  } finally {
    folder?.close();
  }
}
