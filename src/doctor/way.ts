/** Follows a packet's way to the sockets of this host. */
import { type DataPlane, LOOKUP_MISSING } from "../dataplane/types.js";
import { hostAddresses, type HostAddress } from "../kernel/addresses.js";
import { otherLookupPrograms } from "../kernel/features.js";
import { interfaces, xdpIndexes } from "../kernel/interfaces.js";
import { routeOf } from "../kernel/route.js";
import { type Address, type Family, isLoopback4 } from "../model/address.js";
import type { Packet } from "../model/decision.js";
import { askFirewall } from "./firewall.js";
import type { Firewall, Way } from "./obstacles.js";

const LOOPBACK_INDEX = 1;

/** Where the host has its addresses. */
export interface Places {
  /** Interface indexes and names. */
  readonly names: ReadonlyMap<number, string>;
  readonly own: readonly HostAddress[];
}

export function lookForPlaces(): Places {
  return { names: interfaces(), own: hostAddresses() };
}

/** What is the same for every packet, and collected once. */
export interface Surroundings extends Places {
  readonly firewall: Firewall;
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
  const filtered = dataPlane.netfilterHooks().some((family) => families.includes(family));
  return {
    ...places,
    firewall: askFirewall(filtered),
    xdp: xdpIndexes(),
    otherPrograms: otherLookupPrograms(),
    detached: dataPlane.detached().includes(LOOKUP_MISSING),
    off: dataPlane.active()?.off === true,
  };
}

/**
 * Returns the index of the interface that has the address, or 0 if none has. The kernel reports
 * that interface for what the machine sends to itself.
 */
export function interfaceWith({ own }: Places, address: Address): number {
  const found = own.find((one) => one.address === address);
  return found?.interfaceIndex ?? (isLoopback4(address) ? LOOPBACK_INDEX : 0);
}

/**
 * Works out the way of a packet. `remoteGiven` says that the source is one that a user asks
 * about, not an example.
 */
export function wayOf(packet: Packet, surroundings: Surroundings, remoteGiven: boolean): Way {
  const { local, remote, interfaceIndex } = packet;
  const { names, firewall, xdp, otherPrograms, detached, off } = surroundings;
  // What the machine sends to itself was routed when it left, and comes in through lo.
  const itself = interfaceIndex === LOOPBACK_INDEX || interfaceWith(surroundings, remote) !== 0;
  const route = routeOf({
    local,
    remote: remoteGiven && !itself ? remote : null,
    interfaceIndex: itself ? 0 : interfaceIndex,
  });
  const name = (index: number | null): string => names.get(index ?? 0) ?? "";
  return {
    route,
    interfaceName: name(itself ? LOOPBACK_INDEX : interfaceIndex),
    routedTo: name(route.interfaceIndex) || null,
    firewall,
    itself,
    xdp: !itself && xdp.has(interfaceIndex),
    otherPrograms,
    detached,
    off,
  };
}
