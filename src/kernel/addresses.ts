/**
 * Addresses of this namespace, through rtnetlink (rtnetlink(7)). Those that we put on `lo` carry
 * our mark in IFA_PROTO (since Linux 5.18), so the kernel itself remembers whose they are, whatever
 * happens to us.
 */
import { Errno } from "./errno.js";
import { type Address, type Family, familyOf, isLoopback4 } from "../model/address.js";
import { errnoOf } from "./ffi.js";
import { AF_INET, AF_INET6 } from "./libc.js";
import {
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  attribute,
  attributes,
  change,
  fromNative,
  message,
  nativeBytes,
  talk,
} from "./netlink.js";

/**
 * Our value of IFA_PROTO. The kernel's own are 1 to 3 (include/uapi/linux/if_addr.h); user space
 * may use the rest.
 */
const OURS = 0x69;

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_PROTO = 11;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;
const IFADDRMSG = 8;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_HOST = 254;
/** The loopback device is the first of every namespace (drivers/net/loopback.c). */
const LOOPBACK_INDEX = 1;

export interface HostAddress {
  readonly address: Address;
  readonly interfaceIndex: number;
  readonly prefixLength: number;
  /** True when we put the address there. */
  readonly ours: boolean;
  /**
   * Whether others on the link were asked for the same IPv6 address (RFC 4862): `asking` while no
   * answer has been waited for, `taken` when another one has it. The kernel uses neither.
   */
  readonly duplicate: "none" | "asking" | "taken";
}

function ifaddrmsg(
  family: number,
  length: number,
  flags: number,
  scope: number,
  index: number,
): Uint8Array {
  const bytes = new Uint8Array(IFADDRMSG);
  bytes.set([family, length, flags, scope]);
  new DataView(bytes.buffer).setUint32(4, index, true);
  return bytes;
}

/**
 * Returns every address of every interface of the namespace, whether it is up or not. What of these
 * a daemon could bind, `up-addresses.ts` says.
 */
export function hostAddresses(): HostAddress[] {
  const found: HostAddress[] = [];
  for (const body of talk(
    "RTM_GETADDR",
    message(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg(0, 0, 0, 0, 0)),
  )) {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const family = body[0];
    if (family !== AF_INET && family !== AF_INET6) continue;
    let address: Uint8Array | undefined;
    let local: Uint8Array | undefined;
    let ours = false;
    for (const [type, data] of attributes(body, IFADDRMSG)) {
      if (type === IFA_ADDRESS) address = data;
      if (type === IFA_LOCAL) local = data;
      if (type === IFA_PROTO) ours = data[0] === OURS;
    }
    // On point-to-point interfaces, IFA_ADDRESS is the other end.
    const own = local ?? address;
    if (own === undefined) continue;
    found.push({
      address: fromNative(own),
      interfaceIndex: view.getUint32(4, true),
      prefixLength: body[1] ?? 0,
      ours,
      duplicate: duplicateOf(body[2] ?? 0),
    });
  }
  return found;
}

function duplicateOf(flags: number): HostAddress["duplicate"] {
  if ((flags & IFA_F_DADFAILED) !== 0) return "taken";
  return (flags & IFA_F_TENTATIVE) === 0 ? "none" : "asking";
}

const families: Record<Family, { number: number; length: number }> = {
  4: { number: AF_INET, length: 32 },
  6: { number: AF_INET6, length: 128 },
};

function changeOnLoopback(type: number, flags: number, address: Address): void {
  const { number, length } = families[familyOf(address)];
  const bytes = nativeBytes(address);
  // The kernel does the same for 127.0.0.1: it is never the source of what leaves the machine
  // (net/ipv4/devinet.c, inet_select_addr).
  const scope = isLoopback4(address) ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  const body = Buffer.concat([
    ifaddrmsg(number, length, IFA_F_NODAD, scope, LOOPBACK_INDEX),
    attribute(IFA_LOCAL, bytes),
    attribute(IFA_ADDRESS, bytes),
    attribute(IFA_PROTO, Uint8Array.of(OURS)),
  ]);
  const call = type === RTM_NEWADDR ? `adding ${address} to lo` : `removing ${address} from lo`;
  change(call, type, flags, body);
}

/**
 * Adds the address as a /32 or /128, marked as ours. Returns false when it is there already,
 * whoever added it.
 */
export function addToLoopback(address: Address): boolean {
  try {
    changeOnLoopback(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address);
    return true;
  } catch (error) {
    if (errnoOf(error) === Errno.EEXIST) return false;
    throw error;
  }
}

/** Removes the address. Returns false when it is already gone. */
export function removeFromLoopback(address: Address): boolean {
  try {
    changeOnLoopback(RTM_DELADDR, 0, address);
    return true;
  } catch (error) {
    if (errnoOf(error) === Errno.EADDRNOTAVAIL) return false;
    throw error;
  }
}
