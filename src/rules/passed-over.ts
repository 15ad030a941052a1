/** Mappings that would have decided if their conditions were met, for explanations to people. */
import { type Address, familyOf, prefixContains } from "../model/address.js";
import { type Mapping, type Protocol, hasEnded } from "../model/mapping.js";
import { type Rules, allMappings } from "../model/rules.js";
import { countPorts, portsContain } from "../model/ports.js";
import { type Rank, compareRanks, conditionsOf, onLength, ownedBy } from "./order.js";

export interface Dialled {
  readonly protocol: Protocol;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  /** The name of the interface that the packet comes in on, or null when it is unknown. */
  readonly interface: string | null;
  /** Now, in seconds since boot; absent while nothing has ended. */
  readonly now?: number;
}

export interface PassedOver {
  readonly mapping: Mapping;
  /** The condition that is not met. */
  readonly why: "from" | "interface" | "until";
}

/** One of the ways in which a mapping could decide. */
export interface Claim extends Rank {
  readonly unmet: "from" | "interface" | "until" | null;
}

/** Returns all claims of a mapping on what was dialled, in the order of decision. */
export function claimsOf(
  mapping: Mapping,
  dialled: Dialled,
  owned: ReadonlySet<Address>,
): readonly Claim[] {
  const { protocol, local, localPort, remote } = dialled;
  if (mapping.protocol !== protocol || !portsContain(mapping.ports, localPort)) return [];
  const length = onLength(mapping, local, owned);
  if (length === null) return [];
  const ports = countPorts(mapping.ports);
  return conditionsOf(mapping, familyOf(local))
    .map(({ from, fromLength, interface: name }): Claim => {
      const isFrom = from === null || prefixContains(from, remote);
      const comesIn = name === null || name === dialled.interface;
      const inTime = hasEnded(mapping, dialled.now ?? 0) ? "until" : null;
      const unmet = isFrom ? (comesIn ? inTime : "interface") : "from";
      return { onLength: length, ports, fromLength, interface: name, unmet };
    })
    .toSorted(compareRanks);
}

/** Returns the mappings that would decide before `chosen` does, in the order of decision. */
export function passedOver(
  rules: Rules,
  dialled: Dialled,
  chosen: Mapping | null,
): readonly PassedOver[] {
  const owned = ownedBy(rules.file.services);
  const taken = chosen === null ? [] : claimsOf(chosen, dialled, owned);
  // If the interface is unknown, trust what the kernel chose.
  const limit = taken.find(({ unmet }) => unmet === null) ?? taken[0];
  const found: (PassedOver & { readonly first: Claim })[] = [];
  for (const mapping of allMappings(rules)) {
    if (mapping === chosen) continue;
    const before = claimsOf(mapping, dialled, owned).filter(
      (claim) => claim.unmet !== null && (limit === undefined || compareRanks(claim, limit) < 0),
    );
    const [first] = before;
    if (first === undefined) continue;
    const unmet = new Set(before.map((claim) => claim.unmet));
    const why = unmet.has("until") ? "until" : unmet.has("interface") ? "interface" : "from";
    found.push({ mapping, why, first });
  }
  return found.toSorted((left, right) => compareRanks(left.first, right.first));
}
