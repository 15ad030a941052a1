/** Interfaces of the main thread's namespace, and notice when one comes or goes (rtnetlink(7)). */
import { readFileSync } from "node:fs";
import { libcFunction } from "./ffi.js";
import { NETLINK_ROUTE, NLM_F_DUMP, NetlinkMonitor, attributes, message, talk } from "./netlink.js";

const nameToIndex = libcFunction<[string], number>("unsigned int if_nametoindex(const char *name)");
const RTMGRP_LINK = 1;
const RTM_GETLINK = 18;
const IFINFOMSG = 16;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_XDP = 43;
const IFLA_XDP_ATTACHED = 2;
const NLA_TYPE_MASK = 0x3fff;
/** Flags of an interface, from include/uapi/linux/if.h. */
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_POINTOPOINT = 0x10;
const IFF_NOARP = 0x80;
const IFF_LOWER_UP = 0x10000;

/** Returns the interfaces: index -> name. */
export function interfaces(): Map<number, string> {
  const found = new Map<number, string>();
  for (const line of readFileSync("/proc/self/net/dev", "utf8").split("\n").slice(2)) {
    const name = /^\s*(\S+):/.exec(line)?.[1];
    if (name === undefined) continue;
    const index = nameToIndex(name);
    // It is 0 when the interface went between the two reads.
    if (index !== 0) found.set(index, name);
  }
  return found;
}

/** Yields what the kernel says of each interface: its index, and the message (struct ifinfomsg). */
function* described(): Generator<readonly [index: number, body: Uint8Array]> {
  const request = message(RTM_GETLINK, NLM_F_DUMP, new Uint8Array(IFINFOMSG));
  for (const body of talk("RTM_GETLINK", request)) {
    yield [new DataView(body.buffer, body.byteOffset).getUint32(4, true), body];
  }
}

/** The state of an interface. */
export interface Link {
  readonly up: boolean;
  /** True when a cable is in it, or what stands for one. */
  readonly carrier: boolean;
  /** True when neighbours are asked for their hardware address there, by ARP and its like. */
  readonly resolves: boolean;
  /** True when it belongs to a VRF, which has routing tables of its own. */
  readonly inVrf: boolean;
}

/** Returns the state of each interface: index -> state. */
export function links(): Map<number, Link> {
  const found = new Map<number, Link>();
  for (const [index, body] of described()) {
    const flags = new DataView(body.buffer, body.byteOffset).getUint32(8, true);
    found.set(index, {
      up: (flags & IFF_UP) !== 0,
      carrier: (flags & IFF_LOWER_UP) !== 0,
      resolves: (flags & (IFF_LOOPBACK | IFF_POINTOPOINT | IFF_NOARP)) === 0,
      inVrf: isOfKind(body, IFLA_INFO_SLAVE_KIND, "vrf"),
    });
  }
  return found;
}

/** Returns the indexes of the VRF devices. */
export function vrfIndexes(): number[] {
  const found: number[] = [];
  for (const [index, body] of described()) {
    if (isOfKind(body, IFLA_INFO_KIND, "vrf")) found.push(index);
  }
  return found;
}

/** Reports whether the device, or as what it is a part of another one, is of the kind. */
function isOfKind(body: Uint8Array, attributeOfKind: number, wanted: string): boolean {
  for (const [type, info] of attributes(body, IFINFOMSG)) {
    if ((type & NLA_TYPE_MASK) !== IFLA_LINKINFO) continue;
    for (const [kind, name] of attributes(info, 0)) {
      const isWanted = Buffer.from(name).toString("latin1") === `${wanted}\0`;
      if (kind === attributeOfKind && isWanted) return true;
    }
  }
  return false;
}

/**
 * Returns the indexes of interfaces with an XDP program, which sees packets before everything else.
 */
export function xdpIndexes(): Set<number> {
  const found = new Set<number>();
  for (const [index, body] of described()) {
    for (const [type, xdp] of attributes(body, IFINFOMSG)) {
      if ((type & NLA_TYPE_MASK) !== IFLA_XDP) continue;
      for (const [kind, mode] of attributes(xdp, 0)) {
        if (kind === IFLA_XDP_ATTACHED && mode[0] !== 0) found.add(index);
      }
    }
  }
  return found;
}

/** Returns a monitor that becomes readable when an interface comes, goes or changes. */
export function watchInterfaces(): NetlinkMonitor {
  return new NetlinkMonitor(NETLINK_ROUTE, RTMGRP_LINK);
}
