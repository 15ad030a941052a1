/** Tells the service manager how we are (sd_notify(3)); node has no datagram unix sockets. */
import { AF_UNIX, SOCK_DGRAM, close, sendto, socket } from "./libc.js";

/** `READY=1`, `STOPPING=1`, `STATUS=...`, several joined by newlines. Nothing happens without NOTIFY_SOCKET. */
export function sdNotify(state: string): void {
  const path = process.env["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return;
  const name = Buffer.from(path, "utf8");
  // @ at the start: the abstract name space, written as a zero byte.
  if (name[0] === 0x40) name[0] = 0;
  const address = Buffer.concat([Uint8Array.of(AF_UNIX, 0), name]);
  const fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  try {
    sendto(fd, Buffer.from(state, "utf8"), address);
  } finally {
    close(fd);
  }
}

/** Microseconds of CLOCK_MONOTONIC, which `Type=notify-reload` wants with RELOADING=1. */
export function monotonicMicroseconds(): bigint {
  return process.hrtime.bigint() / 1000n;
}
