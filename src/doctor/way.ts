/** Follows a packet's way to the sockets of this host. */
import { type DataPlane, LOOKUP_MISSING } from "../dataplane/types.js";
import { hostAddresses, type HostAddress } from "../kernel/addresses.js";
import { otherLookupPrograms } from "../kernel/features.js";
import { interfaces, links, xdpIndexes, type Link } from "../kernel/interfaces.js";
import { hasEarlyChains } from "../kernel/nftables.js";
import { conntrack, interfaceSetting, type Conntrack } from "../kernel/procfs.js";
import { proxiedAddresses, type Proxied } from "../kernel/proxied.js";
import { routeBack, routeOf, type Arrival, type Route } from "../kernel/route.js";
import {
  addressBytes,
  addressFromBytes,
  familyOf,
  isLinkLocal6,
  isLoopback4,
  isLoopback,
  isOwnable,
  overlaps,
  type Address,
  type Family,
  type Prefix,
} from "../model/address.js";
import type { Packet } from "../model/decision.js";
import { isFloating } from "../model/rules.js";
import { askFirewall } from "./firewall.js";
import type { Firewall, Resolution, Way } from "./obstacle.js";

const LOOPBACK_INDEX = 1;

/** Where the host has its addresses, and where packets come from. */
export interface Places {
  /** Interface indexes and names. */
  readonly names: ReadonlyMap<number, string>;
  readonly own: readonly HostAddress[];
  readonly links: ReadonlyMap<number, Link>;
  /** Asks the routing tables. */
  readonly routeOf: (arrival: Arrival) => Route;
  /** Asks the routing tables for the way back, from an address of this host to a client. */
  readonly routeBack: (local: Address, remote: Address) => Route;
}

export function lookForPlaces(): Places {
  return { names: interfaces(), own: hostAddresses(), links: links(), routeOf, routeBack };
}

/** What is the same for every packet, and collected once. */
export interface Surroundings extends Places {
  readonly firewall: Firewall;
  /** The connections that netfilter follows; null when it follows none. */
  readonly conntrack: Conntrack | null;
  /** Reads a setting of an interface, or of `all`. */
  readonly setting: (family: Family, name: string, key: string) => string | undefined;
  /** The IPv6 addresses that this host answers for on a link without having them there. */
  readonly proxied: readonly Proxied[];
  /** The indexes of interfaces with an XDP program. */
  readonly xdp: ReadonlySet<number>;
  readonly otherPrograms: readonly string[];
  /** True when the program that decides is not attached. */
  readonly detached: boolean;
  /** True while the rules are switched off (`ilm off`). */
  readonly off: boolean;
}

/** Collects the surroundings. `families` are those of the packets. */
export function lookAround(
  dataPlane: DataPlane,
  places: Places,
  families: readonly Family[],
): Surroundings {
  const filtered =
    dataPlane.netfilterHooks().some((family) => families.includes(family)) || hasEarlyChains();
  return {
    ...places,
    firewall: askFirewall(filtered),
    conntrack: conntrack(),
    setting: readOnce(),
    proxied: families.includes(6) ? proxiedAddresses() : [],
    xdp: xdpIndexes(),
    otherPrograms: otherLookupPrograms(),
    detached: dataPlane.detached().includes(LOOKUP_MISSING),
    off: dataPlane.active()?.off === true,
  };
}

/** Reads each setting once: a host may have hundreds of interfaces, for each of many packets. */
function readOnce(): Surroundings["setting"] {
  const known = new Map<string, string | undefined>();
  return (family, name, key) => {
    const path = `${family} ${name} ${key}`;
    if (!known.has(path)) known.set(path, interfaceSetting(family, name, key));
    return known.get(path);
  };
}

/** The interface that a packet comes in on, and why it is taken to be that one. */
export interface Entrance {
  /** 0 when it is unknown. */
  readonly interfaceIndex: number;
  /**
   * `address`: it has the address. `network`: its network has the address. `client`: the way to the
   * client is by it. `user`: a user says so.
   */
  readonly by: "address" | "network" | "client" | "user";
}

/**
 * Returns the interface on which what a client sends to an address comes in: the one that has it.
 * The kernel reports that one for what the machine sends to itself, too. A public address that is
 * on lo, or in a prefix of anyip, is dialled through the interface in whose network it is, or that
 * leads to the client.
 */
export function entranceOf(places: Places, local: Address, remote: Address): Entrance {
  const found = places.own.find(({ address }) => address === local);
  const known = found?.interfaceIndex ?? (isLoopback4(local) ? LOOPBACK_INDEX : 0);
  const isForWorld =
    found === undefined
      ? !isLoopback4(local) && isLocal(places, local)
      : known === LOOPBACK_INDEX && !found.ours && !isLoopback(local) && !isOwnable(local);
  const atHand = { interfaceIndex: known, by: "address" } as const;
  if (!isForWorld || isOwn(places, remote)) return atHand;
  const linked = places.own.find((one) => isInNetwork(one, local));
  if (linked !== undefined) return { interfaceIndex: linked.interfaceIndex, by: "network" };
  return { interfaceIndex: interfaceTo(places, remote) ?? 0, by: "client" };
}

/** Reports whether the address is one that neighbours of the interface would ask for there. */
function isInNetwork(
  { address, prefixLength, interfaceIndex }: HostAddress,
  local: Address,
): boolean {
  const whole = familyOf(local) === 4 ? 32 : 128;
  const prefix = `${local}/${whole}` as Prefix;
  const isNetwork = interfaceIndex !== LOOPBACK_INDEX && prefixLength < whole;
  return isNetwork && overlaps(prefix, address, prefixLength);
}

/** Reports whether packets come in on the interface, as far as is known. */
export function isOpen({ links: all }: Places, interfaceIndex: number): boolean {
  const link = all.get(interfaceIndex);
  return link === undefined || (link.up && link.carrier);
}

function isLocal({ routeOf: ask }: Places, local: Address): boolean {
  return ask({ local, remote: null, interfaceIndex: 0 }).type === "local";
}

function isOwn({ own }: Places, address: Address): boolean {
  return isLoopback(address) || own.some((one) => one.address === address);
}

/** Returns the interface by which this host reaches a client, or else its only one. */
function interfaceTo(places: Places, remote: Address): number | null {
  const { type, interfaceIndex } = places.routeOf({
    local: remote,
    remote: null,
    interfaceIndex: 0,
  });
  if (type === "unicast" && interfaceIndex !== null && interfaceIndex !== LOOPBACK_INDEX) {
    return interfaceIndex;
  }
  const [only, ...others] = new Set(
    places.own
      .filter(({ address }) => familyOf(address) === familyOf(remote))
      .map((one) => one.interfaceIndex)
      .filter((index) => index !== LOOPBACK_INDEX && isOpen(places, index)),
  );
  return others.length === 0 ? (only ?? null) : null;
}

/**
 * What the source of a packet is: one that a user asks about, one of many that a mapping is for, or
 * an example.
 */
export type SourceKind = "asked about" | "among others" | "made up";

/** What a user says of a packet; the rest is made up. */
export interface Said {
  readonly source: SourceKind;
  /** True when packets come in on its interface only. */
  readonly isLinkOnly: boolean;
  /** The addresses that the host has at times. */
  readonly floating: readonly Prefix[] | undefined;
}

/** Works out the way of a packet. */
export function wayOf(packet: Packet, surroundings: Surroundings, said: Said): Way {
  const { local, remote, interfaceIndex } = packet;
  const { names, firewall, xdp, otherPrograms, detached, off } = surroundings;
  // What the machine sends to itself was routed when it left, and comes in through lo.
  const itself = interfaceIndex === LOOPBACK_INDEX || isOwn(surroundings, remote);
  // What is made up may come from nowhere. A neighbour's may come in there.
  const source = itself
    ? null
    : said.source !== "made up"
      ? remote
      : isOpen(surroundings, interfaceIndex)
        ? neighbourOf(surroundings, familyOf(local), interfaceIndex)
        : null;
  const link = itself ? null : (surroundings.links.get(interfaceIndex) ?? null);
  // The tables of a VRF are asked only for a packet with a source.
  const isUnasked = link?.inVrf === true && source === null;
  const route = isUnasked
    ? ({ type: "local", interfaceIndex: null } as const)
    : surroundings.routeOf({
        local,
        remote: source,
        interfaceIndex: itself ? 0 : interfaceIndex,
      });
  const name = (index: number | null): string => names.get(index ?? 0) ?? "";
  const interfaceName = name(itself ? LOOPBACK_INDEX : interfaceIndex);
  return {
    route,
    source,
    isSourceOne: said.source !== "among others",
    back:
      source === null || route.type !== "local" || link?.inVrf === true
        ? null
        : surroundings.routeBack(local, source),
    at: placeOf(surroundings, local),
    isFloating: isFloating(said.floating ?? [], local),
    link,
    isLinkOnly: said.isLinkOnly,
    isThere: surroundings.own.some(
      (one) => one.address === local && one.interfaceIndex === interfaceIndex,
    ),
    ...ipv6OffIn(surroundings, itself ? 4 : familyOf(local)),
    resolution: itself ? "answered" : resolutionOf(surroundings, local, interfaceIndex),
    interfaceName,
    routedTo: name(route.interfaceIndex) || null,
    firewall,
    conntrack: surroundings.conntrack,
    itself,
    xdp: !itself && xdp.has(interfaceIndex),
    otherPrograms,
    detached,
    off,
  };
}

/** Returns where the host has the address, of several places one that works; null: nowhere. */
function placeOf({ own, names, links: all }: Places, local: Address): Way["at"] {
  const places = own
    .filter(({ address }) => address === local)
    .map(({ interfaceIndex, duplicate, prefixLength }) => ({
      interfaceName: names.get(interfaceIndex) ?? "",
      up: all.get(interfaceIndex)?.up ?? true,
      carrier: all.get(interfaceIndex)?.carrier ?? true,
      duplicate,
      prefixLength,
    }));
  return places.find(({ up, duplicate }) => up && duplicate === "none") ?? places[0] ?? null;
}

function ipv6OffIn(
  { setting, names }: Surroundings,
  family: Family,
): Pick<Way, "ipv6Off" | "isIpv6OffAll"> {
  if (family === 4) return { ipv6Off: [], isIpv6OffAll: false };
  const outside = [...names].flatMap(([index, name]) => (index === LOOPBACK_INDEX ? [] : name));
  const ipv6Off = outside.filter((name) => setting(6, name, "disable_ipv6") === "1");
  return { ipv6Off, isIpv6OffAll: outside.length > 0 && ipv6Off.length === outside.length };
}

function resolutionOf(surroundings: Surroundings, local: Address, index: number): Resolution {
  const { own, links: all, names, proxied, setting } = surroundings;
  const name = names.get(index);
  const here = own.filter(({ interfaceIndex }) => interfaceIndex === index);
  const onLink = here.some((one) => isInNetwork(one, local));
  if (name === undefined || all.get(index)?.resolves !== true || !onLink) return "answered";
  const isHere = here.some(({ address }) => address === local);
  if (familyOf(local) === 6) {
    const isProxied = proxied.some((one) => one.address === local && one.interfaceIndex === index);
    return isHere || isProxied ? "answered" : "elsewhere";
  }
  // The larger one counts (net/ipv4/arp.c, arp_ignore).
  const ignore = Math.max(
    ...["all", name].map((one) => Number(setting(4, one, "arp_ignore") ?? "0")),
  );
  if (ignore === 8) return "silent";
  return isHere || (ignore !== 1 && ignore !== 2) ? "answered" : "ignored";
}

/**
 * Returns an address that a neighbour on the interface may have; null when there can be none, or
 * the interface is unknown.
 */
function neighbourOf({ own }: Places, family: Family, index: number): Address | null {
  const whole = family === 4 ? 32 : 128;
  const ours = new Set(own.map(({ address }) => address));
  for (const { address, interfaceIndex, prefixLength } of own) {
    const isNetwork = interfaceIndex === index && prefixLength < whole - 1;
    if (!isNetwork || familyOf(address) !== family || isLinkLocal6(address)) continue;
    // The first and the last address of an IPv4 network are nobody's.
    for (const last of [1, 2, 3]) {
      const bytes = addressBytes(address);
      bytes[15] = (bytes[15]! & ~3) | last;
      const neighbour = addressFromBytes(bytes);
      const hosts = 2 ** Math.min(whole - prefixLength, 8) - 1;
      const isLast = (bytes[15] & hosts) === hosts;
      if (!ours.has(neighbour) && !isLast) return neighbour;
    }
  }
  return null;
}
