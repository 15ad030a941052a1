/** What is in the way of a packet, and the way that a packet takes to the sockets of this host. */
import type { Chain } from "../config/nft/rules.js";
import type { Overtaken } from "../dataplane/types.js";
import type { HostAddress } from "../kernel/addresses.js";
import type { Link } from "../kernel/interfaces.js";
import type { Conntrack } from "../kernel/procfs.js";
import type { Route } from "../kernel/route.js";
import type { Address } from "../model/address.js";

export interface Obstacle {
  readonly kind:
    | "route"
    | "source"
    | "back"
    | "address"
    | "away"
    | "link"
    | "neighbour"
    | "firewall"
    | "unread"
    | "conntrack"
    | "nat"
    | "program"
    | "interface"
    | "detached"
    | "off";
  /**
   * True when it is certainly in the way. Otherwise it may be, or is in the way of some packets
   * only.
   */
  readonly sure: boolean;
  readonly message: string;
  readonly remedy: string;
}

/**
 * What neighbours hear who ask for the hardware address of an address. `answered`: this host's; or
 * nobody has to ask. `silent`: nothing at all, for `arp_ignore`. `ignored`: nothing, for
 * `arp_ignore`, as the address is on another interface. `elsewhere`: nothing, as the IPv6 address
 * is on another interface.
 */
export type Resolution = "answered" | "silent" | "ignored" | "elsewhere";

/** What decides on this host whether a packet reaches one of its sockets. */
export interface Way {
  readonly route: Route;
  /** The source that the routes were asked for; null when none was. */
  readonly source: Address | null;
  /** False when that is one of many sources, of which others may have another way. */
  readonly isSourceOne: boolean;
  /** The way back to that source; null when it was not asked for. */
  readonly back: Route | null;
  /** Where the host has the address that is dialled; null when no interface has it. */
  readonly at: {
    readonly interfaceName: string;
    readonly up: boolean;
    readonly carrier: boolean;
    readonly duplicate: HostAddress["duplicate"];
    readonly prefixLength: number;
  } | null;
  /** True when the configuration says that the host has the address at times. */
  readonly isFloating: boolean;
  /** The interface that the packet comes in on; null for lo, or when it is unknown. */
  readonly link: Link | null;
  /** True when packets come in on that interface only, as a user said. */
  readonly isLinkOnly: boolean;
  /** True when that interface has the address that is dialled. */
  readonly isThere: boolean;
  /** The interfaces that take no IPv6, by their names, when the packet is IPv6; without lo. */
  readonly ipv6Off: readonly string[];
  /** True when no other interfaces are left. */
  readonly isIpv6OffAll: boolean;
  readonly resolution: Resolution;
  /**
   * The name of the interface that the packet comes in on; empty when the machine itself sends, or
   * it is unknown.
   */
  readonly interfaceName: string;
  /** The interface that the packet would leave by, if it is for another host. */
  readonly routedTo: string | null;
  /** True when an XDP program is attached to the incoming interface. */
  readonly xdp: boolean;
  /** The rules of nftables and iptables that the packet meets. */
  readonly firewall: Firewall;
  /** The connections that netfilter follows; null when it follows none. */
  readonly conntrack: Conntrack | null;
  /** True when the machine itself sends the packet. */
  readonly itself: boolean;
  /** Other people's sk_lookup programs. */
  readonly otherPrograms: readonly string[];
  /** True when the program that decides is not attached. */
  readonly detached: boolean;
  /** True while the rules are switched off (`ilm off`). */
  readonly off: boolean;
}

/** What is at ingress of the interfaces, where ingress hands over what was selected. */
export interface Ingress {
  readonly overtaken: readonly Overtaken[];
  /** The names of interfaces without the programs. */
  readonly uncovered: readonly string[];
}

export interface Firewall {
  readonly chains: readonly Chain[];
  /**
   * Chains that see packets first and whose rules are not followed, such as `bridge edge in`.
   */
  readonly unfollowed: readonly string[];
  /** Why existing rules could not be read; null when all were. */
  readonly unread: string | null;
}
