/** Tells the service manager how we are (sd_notify(3)); node has no datagram unix sockets. */
import { nodeErrno } from "../errors.js";
import { errnoName, errnoOf } from "./ffi.js";
import { AF_UNIX, SOCK_DGRAM, close, sendNow, socket } from "./libc.js";

/** Why it was not told. */
export interface NotTold {
  /** An errno's name, or what is wrong with the address. */
  readonly reason: string;
  /** It may work a moment later: its queue is full, or we are short of descriptors. */
  readonly passing: boolean;
}

/**
 * sockaddr_un: 2 bytes of family, 108 of path, which ends with a zero byte unless it is abstract.
 */
const PATH_MAX = 107;
const passing: readonly string[] = ["EAGAIN", "ENOBUFS", "ENOMEM", "EMFILE", "ENFILE"];

/**
 * `READY=1`, `STOPPING=1`, `STATUS=...`, several joined by newlines. Null: it was told, or nobody
 * wants to be (NOTIFY_SOCKET). Never throws and never waits: whether anybody listens is no business
 * of the rules.
 */
export function sdNotify(state: string): NotTold | null {
  const path = process.env["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return null;
  const name = Buffer.from(path, "utf8");
  if (!/^[/@]/.test(path)) return { reason: "it is no absolute path", passing: false };
  if (name.length > PATH_MAX) return { reason: "its path is too long", passing: false };
  // @ at the start: the abstract name space, written as a zero byte.
  if (name[0] === 0x40) name[0] = 0;
  const errno = send(Buffer.from(state, "utf8"), Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]));
  return errno === null ? null : { reason: errno, passing: passing.includes(errno) };
}

/** The errno's name, or null when it was sent. */
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

/** Microseconds of CLOCK_MONOTONIC, which `Type=notify-reload` wants with RELOADING=1. */
export function monotonicMicroseconds(): bigint {
  return process.hrtime.bigint() / 1000n;
}
