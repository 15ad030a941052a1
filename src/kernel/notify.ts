/** Tells the service manager our state (sd_notify(3)); node has no datagram unix sockets. */
import { nodeErrno } from "../errors.js";
import { errnoName, errnoOf } from "./ffi.js";
import { AF_UNIX, SOCK_DGRAM, close, sendNow, socket } from "./libc.js";

/** Why the service manager was not told. */
export interface NotTold {
  /** The name of an errno, or what is wrong with the address. */
  readonly reason: string;
  /** True when it may work a moment later: its queue is full, or we ran out of descriptors. */
  readonly passing: boolean;
}

/**
 * The longest path: sockaddr_un has 2 bytes of family and 108 of path, which ends with a zero byte
 * unless it is abstract.
 */
const PATH_MAX = 107;
const passing: readonly string[] = ["EAGAIN", "ENOBUFS", "ENOMEM", "EMFILE", "ENFILE"];

/**
 * Sends `READY=1`, `STOPPING=1`, `STATUS=...`, or several joined by newlines. Returns null when the
 * service manager was told, or does not want to be (NOTIFY_SOCKET). Never throws and never waits:
 * the rules do not depend on it.
 */
export function sdNotify(state: string): NotTold | null {
  const path = process.env["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return null;
  const name = Buffer.from(path, "utf8");
  if (!/^[/@]/.test(path)) return { reason: "it is no absolute path", passing: false };
  if (name.length > PATH_MAX) return { reason: "its path is too long", passing: false };
  // A leading @ stands for the abstract name space, which is a zero byte on the wire.
  if (name[0] === 0x40) name[0] = 0;
  const errno = send(Buffer.from(state, "utf8"), Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]));
  return errno === null ? null : { reason: errno, passing: passing.includes(errno) };
}

/** Returns the errno's name, or null when the message was sent. */
function send(message: Uint8Array, address: Uint8Array): string | null {
  let fd: number;
  try {
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  } catch (error) {
    return nodeErrno(error) ?? errnoName(errnoOf(error) ?? 0);
  }
  try {
    const errno = sendNow(fd, message, address);
    return errno === 0 ? null : errnoName(errno);
  } finally {
    close(fd);
  }
}

/** Returns CLOCK_MONOTONIC in microseconds, which `Type=notify-reload` expects with RELOADING=1. */
export function monotonicMicroseconds(): bigint {
  return process.hrtime.bigint() / 1000n;
}
