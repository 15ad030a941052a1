/**
 * A socket that takes what is sent to it and says nothing: neither a connection, nor a refusal. A
 * classic BPF filter on it drops each packet (net/ipv4/tcp_ipv4.c, tcp_filter; net/ipv4/udp.c,
 * udp_queue_rcv_one_skb), so a client sends its packet again, as if the first had been lost.
 */
import { addressBytes, type Address, familyOf } from "../model/address.js";
import type { Protocol } from "../model/mapping.js";
import { addressOf } from "./ffi.js";
import {
  AF_INET,
  AF_INET6,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  bind,
  close,
  listen,
  setsockopt,
  socket,
} from "./libc.js";

const SOL_IP = 0;
const IP_FREEBIND = 15;
const SOL_IPV6 = 41;
const IPV6_FREEBIND = 78;
const SO_ATTACH_FILTER = 26;
/** No packet is ever accepted, so one place in the queue is enough. */
const BACKLOG = 1;

/** `ret #0`: code, jt, jf, k (include/uapi/linux/filter.h, struct sock_filter). */
const DROP = Uint8Array.of(0x06, 0, 0, 0, 0, 0, 0, 0);
const ON = Uint8Array.of(1, 0, 0, 0);

export interface SilentSocket {
  close(): void;
}

/** Opens one on an address that no interface needs to have yet. */
export function openSilentSocket(protocol: Protocol, address: Address, port: number): SilentSocket {
  const isIpv4 = familyOf(address) === 4;
  const fd = socket(isIpv4 ? AF_INET : AF_INET6, protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM, 0);
  try {
    // Before the socket has an address, so that it never answers.
    attachDrop(fd);
    if (isIpv4) setsockopt(fd, SOL_IP, IP_FREEBIND, ON);
    else setsockopt(fd, SOL_IPV6, IPV6_FREEBIND, ON);
    bind(fd, isIpv4 ? socketAddress4(address, port) : socketAddress6(address, port));
    if (protocol === "tcp") listen(fd, BACKLOG);
  } catch (error) {
    close(fd);
    throw error;
  }
  return {
    close: () => {
      close(fd);
    },
  };
}

/** struct sock_fprog: the number of instructions, and where they are. */
function attachDrop(fd: number): void {
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, 1, true);
  view.setBigUint64(8, addressOf(DROP), true);
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program);
}

/** struct sockaddr_in: port and address in network byte order. */
function socketAddress4(address: Address, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port, false);
  bytes.set(addressBytes(address).subarray(12), 4);
  return bytes;
}

/** struct sockaddr_in6: port and address in network byte order, without flow label and scope. */
function socketAddress6(address: Address, port: number): Uint8Array {
  const bytes = new Uint8Array(28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port, false);
  bytes.set(addressBytes(address), 8);
  return bytes;
}
