/** Looks at the way of a packet to the sockets of this host. */
import type { DataPlane } from "../dataplane/types.js";
import { hostAddresses } from "../kernel/addresses.js";
import { otherLookupPrograms } from "../kernel/features.js";
import { xdpIndexes } from "../kernel/interfaces.js";
import { routeOf } from "../kernel/route.js";
import { type Address, isLoopback4 } from "../model/address.js";
import type { Packet } from "../model/decision.js";
import type { Firewall, Way } from "./obstacles.js";

const LOOPBACK_INDEX = 1;

/** The interface that has the address, which the kernel takes for it in what the machine sends to itself; 0: none has it. */
export function interfaceWith(address: Address): number {
  const found = hostAddresses().find((one) => one.address === address);
  return found?.interfaceIndex ?? (isLoopback4(address) ? LOOPBACK_INDEX : 0);
}

/** `remoteGiven`: the source is one that somebody asks about, not an example. */
export function wayOf(
  dataPlane: DataPlane,
  packet: Packet,
  names: ReadonlyMap<number, string>,
  firewall: Firewall,
  { remoteGiven, atIngress }: { readonly remoteGiven: boolean; readonly atIngress: boolean },
): Way {
  const { local, remote, interfaceIndex } = packet;
  // What the machine sends to itself was routed when it left, and comes in by lo.
  const itself = interfaceIndex === LOOPBACK_INDEX || interfaceWith(remote) !== 0;
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
    xdp: !itself && xdpIndexes().has(interfaceIndex),
    otherPrograms: otherLookupPrograms(),
    atIngress,
    overtaken: atIngress ? dataPlane.overtaken() : [],
    uncovered: atIngress ? dataPlane.uncoveredInterfaces() : [],
  };
}
