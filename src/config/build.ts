/** One entry, its texts already values -> the mappings it means; shared by files and arguments. */
import {
  familyOf,
  prefixBits,
  prefixContains,
  prefixLength,
  type Address,
  type Prefix,
} from "../model/address.js";
import type {
  Destination,
  Existing,
  Mapping,
  Miss,
  Origin,
  PortRange,
  Protocol,
  Service,
} from "../model/mapping.js";
import { mergePorts, portsContain } from "../model/ports.js";
import { deriveName } from "./name.js";
import { nearest } from "./suggest.js";
import { formatTarget, type Target } from "./target.js";

export interface Entry {
  readonly name: string | undefined;
  readonly protocols: readonly Protocol[];
  readonly ports: readonly PortRange[];
  readonly on: readonly Prefix[];
  readonly to: readonly Target[];
  readonly existing: Existing | undefined;
  readonly miss: Miss | undefined;
}

/** Where in the entry: a key, and the item of its list. */
export interface Spot {
  readonly key: "on" | "to";
  readonly index: number;
}

export type Report = (
  severity: "error" | "warning",
  spot: Spot,
  message: string,
  hint: string,
) => void;

/** More problems than this are not shown anyway. */
const MAX_SUGGESTIONS = 100;

/** The services that destinations may name. */
export class ServiceTable {
  readonly #byName: ReadonlyMap<string, Service>;
  readonly #ownerOf = new Map<Address, string>();
  readonly #unsound: ReadonlySet<string> | "any";
  #suggestions = 0;

  /** `unsound`: services that were declared but are not right, of which nobody need complain twice; or that may be any. */
  constructor(services: readonly Service[], unsound: ReadonlySet<string> | "any" = new Set()) {
    this.#byName = new Map(services.map((service) => [service.name, service]));
    this.#unsound = unsound;
    for (const service of services) {
      for (const address of service.addresses) this.#ownerOf.set(address, service.name);
    }
  }

  get(name: string): Service | undefined {
    return this.#byName.get(name);
  }

  /** Whether its absence is somebody else's problem. */
  isUnsound(name: string): boolean {
    return this.#unsound === "any" || this.#unsound.has(name);
  }

  /** Name of the service that owns the address. */
  ownerOf(address: Address): string | undefined {
    return this.#ownerOf.get(address);
  }

  /** The service that was meant by a name that is none; only so often, since each takes a look at all of them. */
  suggest(name: string): string | null {
    if (this.#suggestions >= MAX_SUGGESTIONS) return null;
    this.#suggestions++;
    return nearest(name, [...this.#byName.keys()]);
  }
}

/** One mapping per protocol; of no use but for its name when an error was reported. */
export function buildMappings(
  entry: Entry,
  services: ServiceTable,
  origin: Origin,
  report: Report,
): Mapping[] {
  const ports = mergePorts(entry.ports);
  const on = sortPrefixes(entry.on);
  const items = expand(entry.to, services, report);
  if (items !== null && checkFamilies(on, entry.to, items, report)) {
    warnInside(entry, ports, on, items, services, report);
  }
  const to = items === null ? [] : join(items);
  const existing = entry.existing ?? "exact";
  const miss = entry.miss ?? "pass";
  const mappings: Mapping[] = [];
  for (const protocol of entry.protocols) {
    if (mappings.some((mapping) => mapping.protocol === protocol)) continue;
    const name = entry.name ?? deriveName(protocol, ports, on);
    mappings.push({ name, protocol, ports, on, to, existing, miss, origin });
  }
  return mappings;
}

/** The common case of one item without a copy; `flat` takes longer than everything else here together. */
function join(items: readonly (readonly Destination[])[]): readonly Destination[] {
  const [first] = items;
  return first !== undefined && items.length === 1 ? first : items.flat();
}

/** Canonical order, IPv4 first, without duplicates, so that reordering the file changes nothing. */
function sortPrefixes(prefixes: readonly Prefix[]): Prefix[] {
  if (prefixes.length < 2) return [...prefixes];
  const unique = [...new Set(prefixes)];
  return unique
    .map((prefix) => ({ prefix, family: familyOf(prefix), bytes: prefixBits(prefix).bytes }))
    .toSorted(
      (left, right) =>
        left.family - right.family ||
        compareBytes(left.bytes, right.bytes) ||
        prefixLength(left.prefix) - prefixLength(right.prefix),
    )
    .map(({ prefix }) => prefix);
}

function compareBytes(left: Uint8Array, right: Uint8Array): number {
  for (const [index, byte] of left.entries()) {
    const difference = byte - right[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The destinations of each item of `to`; a destination that came before is dropped. Null when a service is unknown. */
function expand(
  targets: readonly Target[],
  services: ServiceTable,
  report: Report,
): Destination[][] | null {
  const [only] = targets;
  if (only?.kind === "address" && targets.length === 1) {
    return [destinationsOf(only, services) ?? []];
  }
  const seen = new Set<string>();
  let known = true;
  const items = targets.map((target, index) => {
    const destinations = destinationsOf(target, services);
    if (destinations === null) {
      known = false;
      reportUnknown(target, index, services, report);
      return [];
    }
    const fresh = destinations.filter(({ address, port }) => {
      const key = `${address} ${port}`;
      return !seen.has(key) && seen.add(key);
    });
    if (fresh.length === 0) {
      report(
        "warning",
        { key: "to", index },
        `the destination ${formatTarget(target)} stands in the list already`,
        "remove it: the first of the two is tried, the second never",
      );
    }
    return fresh;
  });
  return known ? items : null;
}

function destinationsOf(target: Target, services: ServiceTable): Destination[] | null {
  const { port } = target;
  if (target.kind === "address") return [{ address: target.address, port }];
  const service = services.get(target.service);
  if (service === undefined) return null;
  return service.addresses.map((address) => ({ address, port, service: service.name }));
}

function reportUnknown(
  target: Target,
  index: number,
  services: ServiceTable,
  report: Report,
): void {
  if (target.kind !== "service" || services.isUnsound(target.service)) return;
  const near = services.suggest(target.service);
  report(
    "error",
    { key: "to", index },
    `there is no service ${target.service}`,
    near === null ? "define it under services, or write an address" : `did you mean ${near}?`,
  );
}

/**
 * An IPv6 connection never reaches an IPv4 listener, so a mapping for IPv6 alone with IPv4 destinations alone does nothing.
 * The other way round is fine: a dual-stack IPv6 listener takes IPv4.
 */
function checkFamilies(
  on: readonly Prefix[],
  targets: readonly Target[],
  items: readonly (readonly Destination[])[],
  report: Report,
): boolean {
  if (on.length === 0 || on.some((prefix) => familyOf(prefix) === 4)) return true;
  const reachable = (destination: Destination): boolean =>
    destination.address === "*" || familyOf(destination.address) === 6;
  const dead = items.map((item) => item.length > 0 && !item.some(reachable));
  if (!items.some((item) => item.some(reachable))) {
    report(
      "error",
      { key: "to", index: 0 },
      "on has IPv6 prefixes only and the destinations IPv4 addresses only, and an IPv6 connection cannot go to an IPv4 listener",
      "add the daemon's IPv6 address to the destinations, or an IPv4 prefix to on",
    );
    return false;
  }
  for (const [index, target] of targets.entries()) {
    if (dead[index] !== true) continue;
    report(
      "warning",
      { key: "to", index },
      `the destination ${formatTarget(target)} is IPv4 and on has IPv6 prefixes only, so it is never reached`,
      "remove it, or add an IPv4 prefix to on",
    );
  }
  return true;
}

/** A destination that its own mapping covers is no loop, since the socket is selected and nothing is dialled; but say what it means. */
function warnInside(
  entry: Entry,
  ports: readonly PortRange[],
  on: readonly Prefix[],
  items: readonly (readonly Destination[])[],
  services: ServiceTable,
  report: Report,
): void {
  for (const [index, item] of items.entries()) {
    const inside = item.find(({ address, port }) => {
      if (address === "*" || (port !== "same" && !portsContain(ports, port))) return false;
      // Without `on`, an address that a service owns is never mapped, not even by this mapping.
      if (on.length === 0) return services.ownerOf(address) === undefined;
      return on.some((prefix) => prefixContains(prefix, address));
    });
    if (inside === undefined) continue;
    const { address, port } = inside;
    const shown = formatTarget({ kind: "address", address: address, port });
    const direct =
      entry.existing === "never"
        ? "connections to it are mapped like all others, to the same listener"
        : "connections to it reach its listener directly, those to other addresses are mapped to it";
    report(
      "warning",
      { key: "to", index },
      `the destination ${shown} is inside its own mapping: no loop, ${direct}`,
      on.length === 0
        ? `to keep mappings off ${address} altogether, make it the address of a service`
        : `to keep this mapping off ${address}, leave it out of on`,
    );
    return;
  }
}
