/** Looks at the way of a packet to the sockets of this host. */
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
  /** Interface index -> name. */
  readonly names: ReadonlyMap<number, string>;
  readonly own: readonly HostAddress[];
}

export function lookForPlaces(): Places {
  return { names: interfaces(), own: hostAddresses() };
}

/** What is the same for every packet, and looked at once. */
export interface Surroundings extends Places {
  readonly firewall: Firewall;
  /** Interface indexes. */
  readonly xdp: ReadonlySet<number>;
  readonly otherPrograms: readonly string[];
  /** The program that decides is not attached. */
  readonly detached: boolean;
  /** `ilm off`. */
  readonly off: boolean;
}

/** `families`: those of the packets. */
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
    off: dataPlane.inForce()?.off === true,
  };
}

/**
 * The interface that has the address, which the kernel takes for it in what the machine sends to
 * itself; 0: none has it.
 */
export function interfaceWith({ own }: Places, address: Address): number {
  const found = own.find((one) => one.address === address);
  return found?.interfaceIndex ?? (isLoopback4(address) ? LOOPBACK_INDEX : 0);
}

/** `remoteGiven`: the source is one that somebody asks about, not an example. */
export function wayOf(packet: Packet, surroundings: Surroundings, remoteGiven: boolean): Way {
  const { local, remote, interfaceIndex } = packet;
  const { names, firewall, xdp, otherPrograms, detached, off } = surroundings;
  // What the machine sends to itself was routed when it left, and comes in by lo.
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
