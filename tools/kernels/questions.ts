/** Asks the kernel, as any user may, which socket a packet would come to (sock_diag(7)). */
import { message, talk } from "../../src/kernel/netlink.js";
import { addressBytes, familyOf, type Address } from "../../src/model/address.js";

const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
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

/**
 * Returns the port of the TCP socket that the kernel names. Throws the error of a kernel that names
 * none.
 */
export function askKernel(question: Question): number {
  // struct inet_diag_msg, of which there is one: the socket's port is at 4.
  for (const answer of talk("sock_diag", requestOf(question), NETLINK_SOCK_DIAG)) {
    return new DataView(answer.buffer, answer.byteOffset).getUint16(4);
  }
  throw new Error("the kernel answered nothing");
}
