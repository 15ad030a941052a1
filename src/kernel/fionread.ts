/**
 * What ioctl(FIONREAD) reports for a UDP socket in a socket map. Since about the turn of 2025/26,
 * kernels look only at what the map put there (net/ipv4/udp_bpf.c, udp_bpf_ioctl), so a daemon
 * reads 0 whatever is waiting. This is tested by trial, as it may be fixed again.
 */
import { Errno } from "./errno.js";
import { createSocketMap } from "./bpf/map.js";
import { checked, errnoOf, libcFunction } from "./ffi.js";
import { AF_INET, SOCK_DGRAM, bind, close, recvNow, sendto, socket } from "./libc.js";

const nativeIoctl = libcFunction<[number, number, Int32Array], number>(
  "int ioctl(int fd, unsigned long request, void *argument)",
);
const nativeGetsockname = libcFunction<[number, Uint8Array, Uint32Array], number>(
  "int getsockname(int fd, void *address, void *length)",
);
const FIONREAD = 0x541b;
const MESSAGE = Uint8Array.of(1, 2, 3, 4, 5);

/** `untried` when lo is down, or what is sent on it is dropped. */
export type FionreadAnswer = "right" | "zero" | "untried";

/** Tries FIONREAD on a socket in a socket map. */
export function tryFionread(): FionreadAnswer {
  const receiver = socket(AF_INET, SOCK_DGRAM, 0);
  try {
    const address = loopbackAddress(0);
    bind(receiver, address);
    checked("getsockname", nativeGetsockname(receiver, address, Uint32Array.of(address.length)));
    const map = createSocketMap("sockmap", 1);
    try {
      map.put(0, receiver);
      sendFrom(address);
      const waiting = new Int32Array(1);
      checked("ioctl FIONREAD", nativeIoctl(receiver, FIONREAD, waiting));
      if (waiting[0] === MESSAGE.length) return "right";
      return recvNow(receiver, new Uint8Array(MESSAGE.length)) ? "zero" : "untried";
    } finally {
      map.close();
    }
  } catch (error) {
    // EPERM: netfilter has dropped it (net/netfilter/core.c, nf_hook_slow).
    const errno = errnoOf(error);
    if (errno === Errno.ENETUNREACH || errno === Errno.EPERM) return "untried";
    throw error;
  } finally {
    close(receiver);
  }
}

function sendFrom(address: Uint8Array): void {
  const sender = socket(AF_INET, SOCK_DGRAM, 0);
  try {
    sendto(sender, MESSAGE, address);
  } finally {
    close(sender);
  }
}

/**
 * Encodes struct sockaddr_in: family in host byte order, port and address in network byte order.
 */
function loopbackAddress(port: number): Uint8Array {
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port, false);
  address.set([127, 0, 0, 1], 4);
  return address;
}
