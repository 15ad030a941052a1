/** /run/ilm: the writers' locks and the daemons' sockets of all network namespaces. Loads no native code. */
import { basename, dirname } from "node:path";
import { IlmError } from "../errors.js";
import { Folder } from "./folder.js";

export const runtimePath = "/run/ilm";

/** The folder, to be closed; undefined when there is none. Throws UNSAFE_PATH. */
export function openRuntimeFolder(): Folder | undefined {
  return Folder.openPrivate(runtimePath);
}

/** The folder, to be closed, made when it is not there. Throws UNSAFE_PATH, NOT_PERMITTED. */
export function makeRuntimeFolder(): Folder {
  const around = Folder.open(dirname(runtimePath));
  if (around === undefined) {
    throw new IlmError("SYSCALL", `there is no folder ${dirname(runtimePath)}`);
  }
  try {
    return around.makeFolder(basename(runtimePath), 0o755);
  } catch (cause) {
    if (cause instanceof IlmError) throw cause;
    throw notPermitted(runtimePath, cause);
  } finally {
    around.close();
  }
}

export function notPermitted(path: string, cause: unknown): IlmError {
  return new IlmError("NOT_PERMITTED", `${path} cannot be opened`, {
    cause,
    remedy: "Run as root",
  });
}
