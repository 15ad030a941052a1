/** The id of the machine (machine-id(5)), from which the host's own IPv6 prefix is derived. */
import { readFileSync } from "node:fs";

import { nodeErrno, unavailable } from "../errors.js";

/** Returns the id of the machine, or null when it has none. */
export type MachineId = () => string | null;

export const noMachineId: MachineId = () => null;

/** Reads the id of this machine. Throws UNAVAILABLE. */
export const readMachineId: MachineId = () => readMachineIdOf("/etc/machine-id");

/**
 * Reads the id from a file. Returns null when it is missing, or not initialised yet. Throws
 * UNAVAILABLE.
 */
export function readMachineIdOf(path: string): string | null {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    const errno = nodeErrno(error);
    const shortage = errno === undefined ? undefined : unavailable(path, errno, error);
    if (errno === undefined || shortage !== undefined) throw shortage ?? error;
    return null;
  }
  const [id = ""] = /^[0-9a-f]{32}(?=\n?$)/.exec(text) ?? [];
  return /^0*$/.test(id) ? null : id;
}
