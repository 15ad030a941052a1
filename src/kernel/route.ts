/**
 * Asks the routing tables what happens to an incoming packet (rtnetlink(7), RTM_GETROUTE: what `ip
 * route get` shows).
 */
import { Errno } from "./errno.js";
import { type Address, familyOf } from "../model/address.js";
import { errnoOf } from "./ffi.js";
import { AF_INET, AF_INET6 } from "./libc.js";
import { attribute, attributes, message, nativeBytes, talk } from "./netlink.js";

const RTM_GETROUTE = 26;
const RTMSG = 12;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
/** From include/uapi/linux/rtnetlink.h: RTN_UNSPEC and following. */
const types = [
  "unspecified",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
] as const;
export type RouteType = (typeof types)[number];

/**
 * What becomes of a packet. `local`: it reaches the sockets of this namespace. `none`: there is no
 * route. `source`: the source address is refused on that interface, by rp_filter or as a martian.
 */
export type Route =
  | { readonly type: RouteType; readonly interfaceIndex: number | null }
  | { readonly type: "none" | "source"; readonly interfaceIndex: null };

export interface Arrival {
  readonly local: Address;
  /** The source; null stands for any, which is not checked. */
  readonly remote: Address | null;
  /** The interface index; 0 when it is unknown or the machine itself sends. */
  readonly interfaceIndex: number;
}

/** Returns what becomes of a packet. Throws whatever a netlink request throws. */
export function routeOf({ local, remote, interfaceIndex }: Arrival): Route {
  if (remote === null || interfaceIndex === 0) return ask(local, []);
  // As of an incoming packet, whose source is checked too; in a VRF, its own tables are asked.
  const arriving = ask(local, [
    attribute(RTA_SRC, nativeBytes(remote)),
    attribute(RTA_IIF, native32(interfaceIndex)),
  ]);
  if (arriving.type === "local") return arriving;
  const route = ask(local, []);
  if (route.type !== "local") return route;
  return arriving.type === "blackhole" ? { type: "source", interfaceIndex: null } : arriving;
}

/** Returns what becomes of what this host sends from one of its addresses to a client. */
export function routeBack(local: Address, remote: Address): Route {
  return ask(remote, [attribute(RTA_SRC, nativeBytes(local))]);
}

function ask(local: Address, source: readonly Uint8Array[]): Route {
  const destination = nativeBytes(local);
  const bits = destination.length * 8;
  // struct rtmsg: family, lengths of destination and source, and what the kernel fills in.
  const head = new Uint8Array(RTMSG);
  head.set([familyOf(local) === 4 ? AF_INET : AF_INET6, bits, source.length === 0 ? 0 : bits]);
  const body = Buffer.concat([head, attribute(RTA_DST, destination), ...source]);
  try {
    for (const answer of talk("RTM_GETROUTE", message(RTM_GETROUTE, 0, body))) {
      return { type: types[answer[7] ?? 0] ?? "unspecified", interfaceIndex: outputOf(answer) };
    }
  } catch (error) {
    switch (errnoOf(error)) {
      case Errno.ENETUNREACH:
      case Errno.EHOSTUNREACH:
        return { type: "none", interfaceIndex: null };
      case Errno.EACCES:
        return { type: "prohibit", interfaceIndex: null };
      case Errno.EXDEV:
        return { type: "source", interfaceIndex: null };
      // For an incoming packet, this includes martians.
      case Errno.EINVAL:
        return { type: "blackhole", interfaceIndex: null };
      default:
        throw error;
    }
  }
  return { type: "none", interfaceIndex: null };
}

function outputOf(body: Uint8Array): number | null {
  for (const [type, data] of attributes(body, RTMSG)) {
    if (type === RTA_OIF) return new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  }
  return null;
}

function native32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
