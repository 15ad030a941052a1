/** Asks the kernel, as any user may, which socket a packet would come to (sock_diag(7)). */
import { message } from "../../src/kernel/netlink.js";
import { AF_NETLINK, SOCK_RAW, close, recv, sendto, socket } from "../../src/kernel/libc.js";
import { addressBytes, familyOf, type Address } from "../../src/model/address.js";

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const HEADER = 16;
const LOOPBACK_INDEX = 1;

export interface Question {
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
}

/** struct inet_diag_req_v2 (include/uapi/linux/inet_diag.h), which names the interface `lo`. */
function requestOf({ local, localPort, remote, remotePort }: Question): Uint8Array {
  const v4 = familyOf(local) === 4;
  const body = new Uint8Array(56);
  const view = new DataView(body.buffer);
  view.setUint8(0, v4 ? 2 : 10);
  view.setUint8(1, 6);
  view.setUint32(4, 0xffffffff, true);
  view.setUint16(8, localPort);
  view.setUint16(10, remotePort);
  const bytes = (address: Address): Uint8Array => addressBytes(address).slice(v4 ? 12 : 0);
  body.set(bytes(local), 12);
  body.set(bytes(remote), 28);
  view.setUint32(44, LOOPBACK_INDEX, true);
  // No cookie.
  body.fill(0xff, 48);
  return message(SOCK_DIAG_BY_FAMILY, 0, body);
}

/** Returns the port of the TCP socket that the kernel names, or minus the error's number. */
export function askKernel(question: Question): number {
  const fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
  try {
    sendto(fd, requestOf(question), Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    const answer = new Uint8Array(4096);
    recv(fd, answer);
    const view = new DataView(answer.buffer);
    // An error has its number first; struct inet_diag_msg has the socket's port at 4.
    return view.getUint16(4, true) === SOCK_DIAG_BY_FAMILY
      ? view.getUint16(HEADER + 4)
      : view.getInt32(HEADER, true);
  } finally {
    close(fd);
  }
}
