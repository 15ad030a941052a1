/** Finds who holds the writer's lock of a network namespace. Loads no native code. */
import { closeSync, fstatSync, readFileSync, type Stats } from "node:fs";
import { basename } from "node:path";
import { unless } from "./folder.js";
import { openRuntimeFolder } from "./runtime-folder.js";

/** The process that holds a lock. */
export interface LockHolder {
  readonly pid: number;
  /** The command line without the interpreter; empty when the process is gone or another user's. */
  readonly command: string;
}

/** The maximum length of a command line in a message. */
const COMMAND_LENGTH = 120;

export function lockName(inode: number): string {
  return `${inode}.lock`;
}

/**
 * Returns who holds the writer's lock of this network namespace, or null when no process visible in
 * this pid namespace does. Throws UNSAFE_PATH.
 */
export function findLockHolder(inode: number): LockHolder | null {
  const folder = openRuntimeFolder();
  try {
    const fd = folder?.openFile(lockName(inode));
    if (fd === undefined) return null;
    try {
      return holderOf(fstatSync(fd));
    } finally {
      closeSync(fd);
    }
  } finally {
    folder?.close();
  }
}

/** Finds the holder in /proc/locks (proc(5)), as the file's contents may be a previous holder's. */
export function holderOf({ dev, ino }: Stats): LockHolder | null {
  // In a dev_t as stat(2) returns it, the 12 bits of the major number lie above the lowest 8 bits
  // of the minor, and the minor's other bits above those.
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  const hex = (number: number): string => number.toString(16).padStart(2, "0");
  const line = new RegExp(
    `^\\d+: FLOCK +\\S+ +WRITE (\\d+) ${hex(major)}:${hex(minor)}:${ino} `,
    "m",
  );
  const locks = unless(["ENOENT", "EACCES"], () => readFileSync("/proc/locks", "utf8")) ?? "";
  const pid = Number(line.exec(locks)?.[1] ?? 0);
  return pid === 0 ? null : { pid, command: commandOf(pid) };
}

/** Returns the command line without the interpreter; empty when it cannot be read. */
export function commandOf(pid: number): string {
  const gone = ["ENOENT", "ESRCH", "EACCES", "EPERM"];
  const text = unless(gone, () => readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? "";
  const words = text.split("\0").filter((word) => word !== "");
  if (/^node(?:js)?$/.test(basename(words[0] ?? "")) && words.length > 1) words.shift();
  const command = [basename(words[0] ?? ""), ...words.slice(1)].join(" ");
  return command.length > COMMAND_LENGTH ? `${command.slice(0, COMMAND_LENGTH - 3)}...` : command;
}

/** Describes a holder in words: `process 4711 (ilm run -f /etc/ilm/ilm.yaml)`. */
export function describeLockHolder({ pid, command }: LockHolder): string {
  return `process ${pid}${command === "" ? "" : ` (${command})`}`;
}
