/**
 * Destinations that are not addresses of this host, and addresses in `on` that hardly any network
 * uses. ilm hands connections to sockets of this host and sends nothing to others, so a mapping to
 * another address reaches no socket until the address appears (DHCP, VRRP) or a daemon binds it in
 * advance (IP_FREEBIND).
 */
import type { Problem } from "../errors.js";
import {
  familyOf,
  isLoopback,
  isOwnable,
  isReserved,
  parseAddress,
  prefixAddress,
  prefixLength,
  type Address,
  type Prefix,
} from "../model/address.js";
import type { Destination, Mapping } from "../model/mapping.js";
import { isFloating, type FileHead } from "../model/rules.js";
import { type Mappings, toLazy } from "../model/mappings.js";

export interface Elsewhere {
  readonly address: Address;
  /** The mappings that lead there, at least one. */
  readonly mappings: readonly Mapping[];
}

/**
 * Returns the destinations by address, except 127.0.0.0/8, ::1, the addresses of services, which
 * ilm itself puts on `lo`, and those that are the host's at times.
 */
export function destinationsToFind(
  mappings: Mappings,
  { services, floating = [] }: Pick<FileHead, "services" | "floating">,
): Elsewhere[] {
  const own = new Set<string>(services.flatMap(({ addresses }) => addresses));
  const isOther = (address: Address | "*"): address is Address =>
    address !== "*" && !isLoopback(address) && !own.has(address) && !isFloating(floating, address);
  const found = new Map<Address, Mapping[]>();
  const lists = toLazy(mappings);
  // Equal lists are checked once, and mappings whose list has none are skipped.
  const others = new Map<readonly Destination[], ReadonlySet<Address>>();
  for (let index = 0; index < lists.length; index++) {
    const to = lists.toAt(index);
    let those = others.get(to);
    if (those === undefined) {
      those = new Set(to.map(({ address }) => address).filter(isOther));
      others.set(to, those);
    }
    if (those.size === 0) continue;
    const mapping = lists.at(index);
    if (mapping === undefined) continue;
    for (const address of those) {
      const known = found.get(address);
      if (known === undefined) found.set(address, [mapping]);
      else known.push(mapping);
    }
  }
  return [...found].map(([address, those]) => ({ address, mappings: those }));
}

/** Says what is wrong with the destination, as the continuation of the mapping's name. */
export function describeElsewhere({ address }: Elsewhere): string {
  return `leads to ${address}, which is not an address of this host: ilm sends nothing to other hosts, it leads to daemons that listen here`;
}

export function remedyForElsewhere({ address }: Elsewhere): string {
  const split = splitPort(address);
  const meant =
    split === null
      ? ""
      : `for port ${split.port} of ${split.host} write "[${split.host}]:${split.port}"; else `;
  const own = isOwnable(address)
    ? `make it the address of a service, which ilm puts on lo, or `
    : "";
  return (
    `${meant}${own}write the address on which the daemon listens, such as ${familyOf(address) === 4 ? "127.0.1.10" : "fd5e:ed00::10"}; ` +
    "nothing is wrong when the address comes later (DHCP, VRRP) or the daemon binds it beforehand (IP_FREEBIND); " +
    "nftables (DNAT) and proxies lead to other hosts"
  );
}

/** Splits off a port: fd5e::10:80 is an address, but may have been meant as one with a port. */
function splitPort(address: Address): { host: string; port: string } | null {
  const [, host = "", port = ""] = /^(.*::.*):([1-9][0-9]{0,3})$/.exec(address) ?? [];
  return parseAddress(host).ok ? { host, port } : null;
}

/** Returns one warning per address, at the place of the first mapping that leads there. */
export function warnOfElsewhere(elsewhere: readonly Elsewhere[]): Problem[] {
  return elsewhere.flatMap((one): Problem[] => {
    const [first, ...others] = one.mappings;
    if (first === undefined) return [];
    const also =
      others.length === 0
        ? ""
        : ` (as ${others.length} more ${others.length === 1 ? "mapping does" : "mappings do"})`;
    return [
      {
        severity: "warning",
        ...first.origin,
        path: `mapping ${first.name}`,
        message: `${describeElsewhere(one)}${also}`,
        hint: remedyForElsewhere(one),
      },
    ];
  });
}

/**
 * Warns of addresses in 240.0.0.0/4. Linux treats them as unicast, some clouds use them, and most
 * networks drop them: they are more likely a slip.
 */
export function warnOfReserved(mappings: Mappings): Problem[] {
  const lists = toLazy(mappings);
  const problems: Problem[] = [];
  for (let index = 0; index < lists.length; index++) {
    if (lists.isConditionalAt(index) || lists.onAt(index).some(isDoubtful)) {
      const mapping = lists.at(index);
      if (mapping !== undefined) problems.push(...warnOfReservedIn(mapping));
    }
  }
  return problems;
}

function isDoubtful(prefix: Prefix): boolean {
  return isReserved(prefixAddress(prefix)) && prefixLength(prefix) >= 4;
}

function warnOfReservedIn(mapping: Mapping): Problem[] {
  return (["on", "from"] as const).flatMap((key) => {
    const prefix = (mapping[key] ?? []).find(isDoubtful);
    if (prefix === undefined) return [];
    return [
      {
        severity: "warning" as const,
        ...mapping.origin,
        path: `mapping ${mapping.name}`,
        message: `has ${prefix} in ${key}, which is reserved (240.0.0.0/4): Linux takes such addresses, and most networks drop them`,
        hint: `correct it, unless your own network uses them`,
      },
    ];
  });
}
