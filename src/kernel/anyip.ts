/**
 * Local routes to whole prefixes (AnyIP: what `ip route add local PREFIX dev lo` makes), through
 * rtnetlink (rtnetlink(7)). Ours have our number as their protocol, so the kernel itself remembers
 * whose they are, whatever happens to us.
 */
import { type Prefix, familyOf, prefixAddress, prefixLength } from "../model/address.js";
import { Errno } from "./errno.js";
import { errnoOf } from "./ffi.js";
import { AF_INET, AF_INET6 } from "./libc.js";
import {
  NETLINK_ROUTE,
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
 * Our value of rtm_protocol. include/uapi/linux/rtnetlink.h and /etc/iproute2/rt_protos name those
 * of others.
 */
export const ROUTE_PROTOCOL = 0x69;

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RT_TABLE_LOCAL = 255;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_HOST = 254;
const RT_SCOPE_NOWHERE = 255;
const RTN_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTMSG = 12;
/** Where struct rtmsg has rtm_protocol; 0 in a request is any. */
const PROTOCOL_AT = 5;
/** The loopback device is the first of every namespace (drivers/net/loopback.c). */
const LOOPBACK = Uint8Array.of(1, 0, 0, 0);

/** struct rtmsg, of a local route of ours */
function rtmsg(family: number, length: number, scope: number): Uint8Array {
  const bytes = new Uint8Array(RTMSG);
  bytes.set([family, length, 0, 0, RT_TABLE_LOCAL, ROUTE_PROTOCOL, scope, RTN_LOCAL]);
  return bytes;
}

function changeRoute(type: number, flags: number, prefix: Prefix): void {
  const [number, ownScope] =
    familyOf(prefix) === 4 ? [AF_INET, RT_SCOPE_HOST] : [AF_INET6, RT_SCOPE_UNIVERSE];
  const scope = type === RTM_DELROUTE ? RT_SCOPE_NOWHERE : ownScope;
  const body = Buffer.concat([
    rtmsg(number, prefixLength(prefix), scope),
    attribute(RTA_DST, nativeBytes(prefixAddress(prefix))),
    attribute(RTA_OIF, LOOPBACK),
  ]);
  const call = `${type === RTM_NEWROUTE ? "adding" : "removing"} the local route to ${prefix}`;
  change(call, type, flags, body);
}

/**
 * Adds a local route to the prefix, marked as ours. Returns false when there is one already,
 * whoever added it.
 */
export function addLocalRoute(prefix: Prefix): boolean {
  try {
    changeRoute(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, prefix);
    return true;
  } catch (error) {
    if (errnoOf(error) === Errno.EEXIST) return false;
    throw error;
  }
}

/** Removes our route. Returns false when it is already gone; others' stay. */
export function removeLocalRoute(prefix: Prefix): boolean {
  try {
    changeRoute(RTM_DELROUTE, 0, prefix);
    return true;
  } catch (error) {
    if (errnoOf(error) === Errno.ESRCH) return false;
    throw error;
  }
}

export interface LocalRoute {
  readonly prefix: Prefix;
  /** True when we added it. */
  readonly ours: boolean;
}

/** Returns the local routes, the kernel's own for each address included. */
export function localRoutes(): LocalRoute[] {
  return [AF_INET, AF_INET6].flatMap((family) => {
    // The kernel leaves out the rest (net/ipv4/fib_frontend.c, ip_valid_fib_dump_req): a router has
    // a million routes.
    const wanted = rtmsg(family, 0, RT_SCOPE_UNIVERSE);
    wanted[PROTOCOL_AT] = 0;
    const request = message(RTM_GETROUTE, NLM_F_DUMP, wanted);
    return [...talk("RTM_GETROUTE", request, NETLINK_ROUTE, true)].flatMap(routeIn);
  });
}

function routeIn(body: Uint8Array): LocalRoute[] {
  const [, length = 0, , , table, protocol, , type] = body;
  if (table !== RT_TABLE_LOCAL || type !== RTN_LOCAL) return [];
  for (const [kind, data] of attributes(body, RTMSG)) {
    if (kind !== RTA_DST) continue;
    const prefix = `${fromNative(data)}/${length}` as Prefix;
    return [{ prefix, ours: protocol === ROUTE_PROTOCOL }];
  }
  return [];
}
