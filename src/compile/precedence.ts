/** Who comes before whom, asked of the rules themselves instead of their tables: for what is told to people. */
import {
  type Address,
  type Family,
  type Prefix,
  familyOf,
  prefixContains,
  prefixLength,
} from "../model/address.js";
import { type Mapping, type Protocol, type Rules } from "../model/mapping.js";
import { allMappings, type Mappings } from "../model/mappings.js";
import { countPorts, portsContain } from "../model/ports.js";

export interface Dialled {
  readonly protocol: Protocol;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  /** Name of the interface that the packet comes in on; null: not known. */
  readonly interface: string | null;
}

export interface PassedOver {
  readonly mapping: Mapping;
  readonly why: "from" | "interface";
}

/** Length of the longest of the prefixes that holds the address; no prefixes hold all with 0; -1: none does. */
function fit(prefixes: readonly Prefix[] | undefined, address: Address): number {
  if (prefixes === undefined || prefixes.length === 0) return 0;
  return prefixes
    .filter((prefix) => prefixContains(prefix, address))
    .reduce((longest, prefix) => Math.max(longest, prefixLength(prefix)), -1);
}

/** The mappings that would come before `chosen` if their conditions were met, the best first, with what was not. */
export function passedOver(
  rules: Rules,
  dialled: Dialled,
  chosen: Mapping | null,
): readonly PassedOver[] {
  const { protocol, local, localPort, remote } = dialled;
  const rank = (mapping: Mapping): readonly number[] => [
    -fit(mapping.on, local),
    countPorts(mapping.ports),
  ];
  const limit = chosen === null ? null : rank(chosen);
  return allMappings(rules)
    .filter(
      (mapping) =>
        mapping !== chosen &&
        mapping.protocol === protocol &&
        portsContain(mapping.ports, localPort) &&
        fit(mapping.on, local) >= 0,
    )
    .flatMap((mapping): (PassedOver & { readonly rank: readonly number[] })[] => {
      const own = rank(mapping);
      if (limit !== null && compare(own, limit) > 0) return [];
      if (fit(mapping.from, remote) < 0) return [{ mapping, why: "from", rank: own }];
      const comesIn =
        mapping.interfaces === undefined ||
        (dialled.interface !== null && mapping.interfaces.includes(dialled.interface));
      return comesIn ? [] : [{ mapping, why: "interface", rank: own }];
    })
    .sort((a, b) => compare(a.rank, b.rank));
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export const everyAddress: Readonly<Record<Family, Prefix>> = {
  4: "0.0.0.0/0" as Prefix,
  6: "::/0" as Prefix,
};

/** The entries of all mappings by what they are for, so that one prefix's are found without looking at the others. */
export class ByPrefix {
  readonly #found = new Map<string, Mapping[]>();

  constructor(mappings: Mappings) {
    for (const mapping of mappings) {
      const on = mapping.on.length === 0 ? Object.values(everyAddress) : mapping.on;
      for (const prefix of on) {
        const families = mapping.from?.map((source) => familyOf(source)) ?? [familyOf(prefix)];
        if (!families.includes(familyOf(prefix))) continue;
        const key = `${mapping.protocol} ${prefix}`;
        const known = this.#found.get(key);
        if (known === undefined) this.#found.set(key, [mapping]);
        else known.push(mapping);
      }
    }
  }

  /** The smallest set of ports first. */
  at(protocol: Protocol, prefix: Prefix, port: number): Mapping[] {
    return (this.#found.get(`${protocol} ${prefix}`) ?? [])
      .filter((mapping) => portsContain(mapping.ports, port))
      .map((mapping) => ({ mapping, size: countPorts(mapping.ports) }))
      .sort((a, b) => a.size - b.size)
      .map(({ mapping }) => mapping);
  }
}
