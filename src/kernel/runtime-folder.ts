/**
 * /run/ilm: the writers' locks and the daemons' sockets of all network namespaces. Loads no native
 * code.
 */
import { basename, dirname } from "node:path";
import { IlmError, nodeErrno, unavailable } from "../errors.js";
import { Folder } from "./folder.js";

export const runtimePath = "/run/ilm";

/**
 * Opens the folder. The caller closes it. Returns undefined when it does not exist. Throws
 * UNSAFE_PATH.
 */
export function openRuntimeFolder(): Folder | undefined {
  return Folder.openPrivate(runtimePath);
}

/**
 * Opens the folder, and creates it when it does not exist. The caller closes it. Throws
 * UNSAFE_PATH, NOT_PERMITTED, UNAVAILABLE.
 */
export function makeRuntimeFolder(): Folder {
  const around = Folder.open(dirname(runtimePath));
  if (around === undefined) {
    throw new IlmError("SYSCALL", `there is no folder ${dirname(runtimePath)}`);
  }
  try {
    return around.makeFolder(basename(runtimePath), 0o755);
  } catch (cause) {
    if (cause instanceof IlmError) throw cause;
    throw cannotOpen(runtimePath, cause);
  } finally {
    around.close();
  }
}

/**
 * Returns the error for something that could not be opened or created there: resources ran short,
 * we are not root, or anything else.
 */
export function cannotOpen(path: string, cause: unknown): IlmError {
  const errno = nodeErrno(cause) ?? "";
  const what = `${path} cannot be opened`;
  const short = unavailable(what, errno, cause);
  if (short !== undefined) return short;
  if (errno === "EACCES" || errno === "EPERM") {
    return new IlmError("NOT_PERMITTED", what, { cause, remedy: "Run as root" });
  }
  return new IlmError("SYSCALL", `${what}: ${errno}`, { cause });
}
