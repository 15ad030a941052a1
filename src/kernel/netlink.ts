/** Sends requests to the kernel over netlink(7) and reads the answers. */
import { type Address, addressBytes, addressFromBytes, familyOf } from "../model/address.js";
import { Errno } from "./errno.js";
import { errnoOf, syscallError } from "./ffi.js";
import {
  AF_NETLINK,
  SOCK_RAW,
  bind,
  close,
  recv,
  recvNow,
  sendto,
  setsockopt,
  socket,
} from "./libc.js";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;
/**
 * Groups are numbered from 1; in a mask, the lowest bit is the first group
 * (include/uapi/linux/netfilter/nfnetlink.h).
 */
const NFNLGRP_NFTABLES = 7;

export const NLM_F_ACK = 4;
export const NLM_F_CREATE = 0x400;
export const NLM_F_EXCL = 0x200;
export const NLM_F_DUMP = 0x300;
const NLM_F_REQUEST = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;

export function align(length: number): number {
  return (length + 3) & ~3;
}

export function message(type: number, flags: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, NLM_F_REQUEST | flags, true);
  view.setUint32(8, 1, true);
  bytes.set(body, HEADER);
  return bytes;
}

/** include/uapi/linux/netlink.h: a dump gives only what its request describes. */
const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;

/**
 * Sends one request and yields the body of each answer until the kernel says that it is done.
 * `isStrict` has the kernel leave out of a dump what its request does not describe.
 */
export function* talk(
  call: string,
  request: Uint8Array,
  protocol = NETLINK_ROUTE,
  isStrict = false,
): Generator<Uint8Array> {
  const fd = socket(AF_NETLINK, SOCK_RAW, protocol);
  try {
    if (isStrict) setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, Uint8Array.of(1, 0, 0, 0));
    // struct sockaddr_nl of the kernel: family, padding, pid 0, groups 0
    sendto(fd, request, Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    const buffer = new Uint8Array(65536);
    for (;;) {
      const length = recv(fd, buffer);
      const view = new DataView(buffer.buffer, 0, length);
      for (let at = 0; at + HEADER <= length;) {
        const size = view.getUint32(at, true);
        if (size < HEADER) throw syscallError(`${call}: malformed answer`, 74);
        const type = view.getUint16(at + 4, true);
        if (type === NLMSG_DONE) return;
        if (type === NLMSG_ERROR) {
          const errno = -view.getInt32(at + HEADER, true);
          if (errno !== 0) throw syscallError(call, errno);
          return;
        }
        yield buffer.slice(at + HEADER, at + size);
        at += align(size);
      }
    }
  } finally {
    close(fd);
  }
}

/** Sends a request that changes something: its acknowledgement is the only answer. */
export function change(call: string, type: number, flags: number, body: Uint8Array): void {
  for (const _ of talk(call, message(type, NLM_F_ACK | flags, body)));
}

/** Returns the address as the kernel has it: 4 bytes, or 16. */
export function nativeBytes(address: Address): Uint8Array {
  return addressBytes(address).subarray(familyOf(address) === 4 ? 12 : 0);
}

/** Returns the address that 4 or 16 bytes are. */
export function fromNative(bytes: Uint8Array): Address {
  if (bytes.length === 16) return addressFromBytes(bytes);
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff], 10);
  mapped.set(bytes, 12);
  return addressFromBytes(mapped);
}

/** Encodes one attribute of a request. */
export function attribute(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(align(4 + data.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + data.length, true);
  view.setUint16(2, type, true);
  bytes.set(data, 4);
  return bytes;
}

/** Yields type and content of each attribute in a message's body, from an offset on. */
export function* attributes(body: Uint8Array, from: number): Generator<[number, Uint8Array]> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  for (let at = from; at + 4 <= body.length;) {
    const length = view.getUint16(at, true);
    if (length < 4) return;
    yield [view.getUint16(at + 2, true), body.subarray(at + 4, at + length)];
    at += align(length);
  }
}

/**
 * A socket that becomes readable when the kernel sends something to one of its multicast groups.
 */
export class NetlinkMonitor {
  readonly fd: number;
  #closed = false;

  /** Joins the groups of the mask `groups`. */
  constructor(protocol: number, groups: number) {
    this.fd = socket(AF_NETLINK, SOCK_RAW, protocol);
    // struct sockaddr_nl: family, padding, pid 0 (the kernel assigns one), groups
    const name = new Uint8Array(12);
    new DataView(name.buffer).setUint16(0, AF_NETLINK, true);
    new DataView(name.buffer).setUint32(8, groups, true);
    bind(this.fd, name);
  }

  /**
   * Discards what has arrived. Returns true when there was something, or too much for the socket's
   * buffer.
   */
  drain(): boolean {
    const buffer = new Uint8Array(65536);
    let some = false;
    while (recvNow(this.fd, buffer)) some = true;
    return some;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
  }
}

/**
 * Returns a monitor that becomes readable when a rule of nftables (or iptables-nft) comes or goes.
 * Returns undefined when this kernel has no nftables.
 */
export function watchNftables(): NetlinkMonitor | undefined {
  try {
    return new NetlinkMonitor(NETLINK_NETFILTER, 1 << (NFNLGRP_NFTABLES - 1));
  } catch (error) {
    if (errnoOf(error) === Errno.EPROTONOSUPPORT) return undefined;
    throw error;
  }
}
