/** A mapping's destinations in the order in which one family's packets try them. */
import { type Address, type Family, familyOf } from "../model/address.js";
import type { Destination, HandoverChoice, Mapping } from "../model/mapping.js";

export interface Candidate {
  /** The index into the mapping's `to`. */
  readonly destination: number;
  readonly address: Address;
  /** The port in host byte order; 0 is the port that was dialled. */
  readonly port: number;
  /** The weight; 0 when the mapping has no weights. */
  readonly weight: number;
  /** Absent when the configuration leaves it out. */
  readonly handover?: HandoverChoice;
}

const wildcards: Record<Family, readonly Address[]> = {
  4: ["0.0.0.0" as Address, "::" as Address],
  6: ["::" as Address],
};

/**
 * Returns the candidates in the order of `to`, except that among neighbours from one service, the
 * packet's own family comes first: they are the same daemon, not a first and a second choice. A
 * packet goes to a socket of its own family, and an IPv4 packet also to the IPv6 wildcard: an IPv6
 * socket bound to any other address takes no IPv4, whatever its options (net/ipv6/af_inet6.c,
 * __inet6_bind, sets sk_ipv6only). A dual-stack socket whose bind() was rewritten has an IPv4
 * address, and takes IPv6 packets too.
 */
export function candidates(mapping: Pick<Mapping, "to">, family: Family): Candidate[] {
  const found: Candidate[] = [];
  const take = (destination: Destination, index: number): void => {
    const { handover, weight = 0, dualStack = false } = destination;
    const port = destination.port === "same" ? 0 : destination.port;
    const addresses =
      destination.address === "*" ? wildcards[family] : ([destination.address] as const);
    for (const address of addresses) {
      const isTaken =
        familyOf(address) === family || address === "::" || (family === 6 && dualStack);
      if (!isTaken) continue;
      const said = handover === undefined ? undefined : { handover };
      found.push({ destination: index, address, port, weight, ...said });
    }
  };
  const isOwnFamily = (destination: Destination): boolean =>
    destination.address === "*" || familyOf(destination.address) === family;
  for (let start = 0; start < mapping.to.length;) {
    const end = endOfService(mapping.to, start);
    const group = mapping.to
      .slice(start, end)
      .map((destination, i) => ({ destination, index: start + i }));
    for (const own of [true, false]) {
      for (const { destination, index } of group) {
        if (isOwnFamily(destination) === own) take(destination, index);
      }
    }
    start = end;
  }
  return found;
}

/**
 * Returns the end of the run of neighbours that come from the same service as the one at `start`.
 */
function endOfService(to: readonly Destination[], start: number): number {
  const service = to[start]?.service;
  if (service === undefined) return start + 1;
  const after = to.findIndex((each, index) => index > start && each.service !== service);
  return after === -1 ? to.length : after;
}
