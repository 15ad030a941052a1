/**
 * Builds the mappings that one entry means, once its texts are values. Files and arguments share
 * this.
 */
import {
  familyOf,
  isOwnable,
  prefixBits,
  prefixContains,
  prefixLength,
  type Address,
  type Family,
  type Prefix,
} from "../model/address.js";
import type {
  Destination,
  Existing,
  HandoverChoice,
  Listeners,
  Mapping,
  Miss,
  Origin,
  PortRange,
  Protocol,
  Service,
} from "../model/mapping.js";
import { canonicalListeners } from "../model/owner.js";
import { mergePorts, portsContain } from "../model/ports.js";
import { OWN_ADDRESS, yamlText } from "./meant.js";
import { deriveName } from "./name.js";
import { portOfName } from "./port-names.js";
import { nearest } from "./suggest.js";
import { formatTarget, type Target } from "./target.js";

export interface FileEntry {
  readonly name: string | undefined;
  readonly protocols: readonly Protocol[];
  readonly ports: readonly PortRange[];
  readonly on: readonly Prefix[];
  /** The source prefixes; empty means all. */
  readonly from: readonly Prefix[];
  /** The interfaces; empty means all. */
  readonly interfaces: readonly string[];
  readonly to: readonly Target[];
  readonly existing: Existing | undefined;
  readonly miss: Miss | undefined;
  readonly handover: HandoverChoice | undefined;
  readonly listeners: Listeners | undefined;
  readonly description: string | undefined;
}

/** A place in the entry: a key, and the item of its list. */
export interface Spot {
  readonly key: "on" | "from" | "to" | "miss" | "handover";
  readonly index: number;
}

export type Report = (
  severity: "error" | "warning",
  spot: Spot,
  message: string,
  hint: string,
) => void;

/** The maximum number of suggestions. No more problems than this are shown anyway. */
const MAX_SUGGESTIONS = 100;

/** The services that destinations may name. */
export class ServiceTable {
  readonly #byName: ReadonlyMap<string, Service>;
  readonly #ownerOf = new Map<Address, Service>();
  readonly #destinations = new WeakMap<Target, readonly Destination[] | null>();
  readonly #unsound: ReadonlySet<string> | "any";
  #suggestions = 0;

  /**
   * `unsound` has the services that are declared but wrong, which need not be reported twice, or is
   * "any" when unknown services may exist.
   */
  constructor(services: readonly Service[], unsound: ReadonlySet<string> | "any" = new Set()) {
    this.#byName = new Map(services.map((service) => [service.name, service]));
    this.#unsound = unsound;
    for (const service of services) {
      for (const address of service.addresses) this.#ownerOf.set(address, service);
    }
  }

  /**
   * Returns the destinations of a target, or null when there is no such service. The same target
   * gives the very same list: most mappings of a file lead to the same few.
   */
  destinationsOf(target: Target): readonly Destination[] | null {
    const known = this.#destinations.get(target);
    if (known !== undefined) return known;
    const destinations = this.#findDestinations(target);
    this.#destinations.set(target, destinations);
    return destinations;
  }

  #findDestinations(target: Target): readonly Destination[] | null {
    const { port } = target;
    const weight = target.weight === undefined ? undefined : { weight: target.weight };
    if (target.kind === "none") return [];
    if (target.kind === "address") return [{ address: target.address, port, ...weight }];
    const service = this.#byName.get(target.service);
    if (service === undefined) return null;
    const { name, addresses } = service;
    return addresses.map((address) => ({ address, port, service: name, ...weight }));
  }

  /** Returns the service with the name. */
  find(name: string): Service | undefined {
    return this.#byName.get(name);
  }

  /** Reports whether the absence of a service is already reported elsewhere. */
  isUnsound(name: string): boolean {
    return this.#unsound === "any" || this.#unsound.has(name);
  }

  /** Returns the service that owns the address. */
  ownerOf(address: Address | "*"): Service | undefined {
    return address === "*" ? undefined : this.#ownerOf.get(address);
  }

  /**
   * Returns the service that an unknown name probably means. It is limited in number, as each call
   * searches all services.
   */
  suggest(name: string): string | null {
    if (this.#suggestions >= MAX_SUGGESTIONS) return null;
    this.#suggestions++;
    return nearest(name, [...this.#byName.keys()]);
  }
}

/** Builds one mapping per protocol. If an error was reported, only their names are usable. */
export function buildMappings(
  entry: FileEntry,
  services: ServiceTable,
  origin: Origin,
  report: Report,
): Mapping[] {
  const ports = mergePorts(entry.ports);
  const on = sortPrefixes(entry.on);
  const from = sortPrefixes(entry.from);
  const { interfaces: named } = entry;
  const interfaces = named.length === 0 ? named : [...new Set(named)].toSorted();
  const refuses = entry.to.some(({ kind }) => kind === "none");
  if (refuses) refuseBesideNone(entry, report);
  else checkWeights(entry.to, report);
  const items = refuses ? [] : expand(entry.to, services, report);
  if (refuses) checkSources(on, from, report);
  else if (items !== null && checkFamilies(on, from, entry.to, items, { services, report })) {
    warnInside(entry, ports, on, items, services, report);
  }
  const to = items === null ? [] : withTraits(join(items), entry.handover, services);
  const existing = entry.existing ?? "exact";
  const miss = refuses ? "reject" : (entry.miss ?? "pass");
  const listeners = entry.listeners && canonicalListeners(entry.listeners);
  const { description } = entry;
  const isPlain =
    from.length + interfaces.length === 0 && listeners === undefined && description === undefined;
  const mappings: Mapping[] = [];
  for (const protocol of entry.protocols) {
    if (mappings.some((mapping) => mapping.protocol === protocol)) continue;
    const name = entry.name ?? deriveName(protocol, ports, on, from, interfaces);
    const mapping: Mapping = { name, protocol, ports, on, to, existing, miss, origin };
    mappings.push(
      isPlain
        ? mapping
        : {
            ...mapping,
            ...(from.length > 0 && { from }),
            ...(interfaces.length > 0 && { interfaces }),
            ...(listeners !== undefined && { listeners }),
            ...(description !== undefined && { description }),
          },
    );
  }
  return mappings;
}

/**
 * Sets the hand-over that the mapping chooses, or else the service that owns the address, and
 * whether that service's listeners may be dual-stack.
 */
function withTraits(
  destinations: readonly Destination[],
  said: HandoverChoice | undefined,
  services: ServiceTable,
): readonly Destination[] {
  const traits = ({ address }: Destination): Partial<Destination> | null => {
    const service = services.ownerOf(address);
    const handover = said ?? service?.handover;
    const dualStack = service?.wildcard === "rewrite" && isIpv4(address);
    if (handover === undefined && !dualStack) return null;
    return {
      ...(handover !== undefined && { handover }),
      ...(dualStack && { dualStack }),
    };
  };
  if (destinations.every((one) => traits(one) === null)) return destinations;
  return destinations.map((one) => ({ ...one, ...traits(one) }));
}

function isIpv4(address: Address | "*"): boolean {
  return address !== "*" && familyOf(address) === 4;
}

/**
 * Joins the items. The common case of one item avoids a copy, as `flat` takes longer than
 * everything else here together.
 */
function join(items: readonly (readonly Destination[])[]): readonly Destination[] {
  const [first] = items;
  return first !== undefined && items.length === 1 ? first : items.flat();
}

/**
 * Sorts prefixes canonically, IPv4 first, and removes duplicates, so that reordering the file
 * changes nothing.
 */
function sortPrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  if (prefixes.length < 2) return prefixes;
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

/**
 * Returns the destinations of each item of `to`, and drops repeated ones. Returns null when a
 * service is unknown.
 */
function expand(
  targets: readonly Target[],
  services: ServiceTable,
  report: Report,
): (readonly Destination[])[] | null {
  const [only] = targets;
  const alone = only === undefined || targets.length > 1 ? null : services.destinationsOf(only);
  if (alone !== null) return [alone];
  const seen = new Set<string>();
  let known = true;
  const items = targets.map((target, index) => {
    const destinations = services.destinationsOf(target);
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
        `the destination ${formatTarget(target)} is already in the list`,
        "remove it: the first of the two is tried, the second never",
      );
    }
    return fresh;
  });
  return known ? items : null;
}

/** Refuses what is about destinations beside `to: none`, which has none. */
function refuseBesideNone({ to, miss, handover }: FileEntry, report: Report): void {
  const index = to.findIndex(({ kind }) => kind === "none");
  if (to.length > 1) {
    const message = "none refuses connections, and there are other destinations";
    const hint = "write to: none alone; or leave none out, and write miss: reject";
    report("error", { key: "to", index }, message, hint);
  } else if (to[0]?.weight !== undefined) {
    const message = "none refuses all connections, and has no share of them";
    report("error", { key: "to", index }, message, "write to: none, without a weight");
  }
  for (const [key, said] of Object.entries({ miss, handover } as const)) {
    if (said === undefined) continue;
    const message = `${key}: ${said} is about destinations, and to: none has none`;
    const hint = `leave ${key} out: what the mapping takes is refused`;
    report("error", { key: key as "miss" | "handover", index: 0 }, message, hint);
  }
}

/**
 * Refuses lists in which only some destinations have a weight: they would be neither an order nor
 * shares. Warns when all are 0.
 */
function checkWeights(targets: readonly Target[], report: Report): void {
  if (targets.every(({ weight }) => weight === undefined)) return;
  if (targets.every(({ weight }) => weight === 0)) {
    report(
      "warning",
      { key: "to", index: 0 },
      "every destination has weight 0, so none gets a new connection, as if none listened",
      "give one of them a weight; or write to: none, to refuse connections",
    );
  }
  for (const [index, target] of targets.entries()) {
    if (target.weight !== undefined) continue;
    report(
      "error",
      { key: "to", index },
      `the destination ${formatTarget(target)} has no weight, and others of the list have one`,
      "give every destination of the list a weight, or none (then the first that listens gets the connection)",
    );
  }
}

function reportUnknown(
  target: Target,
  index: number,
  services: ServiceTable,
  report: Report,
): void {
  if (target.kind !== "service" || services.isUnsound(target.service)) return;
  const near = services.suggest(target.service);
  const { reason, hint } = describeUnknown(target);
  report("error", { key: "to", index }, reason, near === null ? hint : `did you mean ${near}?`);
}

/** Describes an unknown service, whose name may be another kind of name. */
function describeUnknown({ service, port }: Target & { kind: "service" }): {
  reason: string;
  hint: string;
} {
  const reason = `there is no service ${service}`;
  const withPort = (address: string): string => (port === "same" ? address : `${address}:${port}`);
  if (/^(?:localhost|loopback)(?:\.localdomain)?$/.test(service)) {
    return {
      reason: `${reason}, and names of hosts are not looked up`,
      hint: `write ${yamlText(withPort("127.0.0.1"))}, or the address that the daemon listens on`,
    };
  }
  if (/^(?:any|all)$/.test(service)) {
    return {
      reason,
      hint: `write ${JSON.stringify(withPort("*"))} for the daemon that listens on every address`,
    };
  }
  if (/^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*$/.test(service)) {
    return {
      reason: `${reason}, and names of hosts are not looked up`,
      hint: `write the address on this host that the daemon listens on, such as ${yamlText(withPort("127.0.1.10"))}, or define ${service} under services`,
    };
  }
  if (/^(?:reject|refuse|refused|deny|drop|nobody|nowhere|null)$/.test(service)) {
    return { reason, hint: "write none, to refuse connections" };
  }
  if (/^(?:tcp|udp)$/.test(service) && port !== "same") {
    return {
      reason,
      hint: `write "127.0.1.10:${port}", ${OWN_ADDRESS}, and protocol: ${service} in the mapping`,
    };
  }
  const named = port === "same" ? portOfName(service) : null;
  if (named !== null) {
    return {
      reason,
      hint: `define it under services, or write an address; for a port alone, ${JSON.stringify(`127.0.1.10:${named}`)}`,
    };
  }
  return { reason, hint: "define it under services, or write an address" };
}

/**
 * Checks that destinations can take the packets. A socket bound to an address of one family takes
 * no connections of the other, so a mapping for one family with destinations only of the other does
 * nothing. (Only a wildcard IPv6 socket may take IPv4: net/ipv6/af_inet6.c, __inet6_bind.)
 */
function checkFamilies(
  on: readonly Prefix[],
  from: readonly Prefix[],
  targets: readonly Target[],
  items: readonly (readonly Destination[])[],
  { services, report }: { readonly services: ServiceTable; readonly report: Report },
): boolean {
  if (on.length + from.length === 0) return true;
  const inOn = familiesOf(on);
  const families = checkSources(on, from, report);
  const [only, second] = families;
  if (only === undefined) return false;
  if (second !== undefined) return true;
  const key = inOn.length === 1 ? "on" : "from";
  const other = only === 4 ? 6 : 4;
  const reachable = (destination: Destination): boolean =>
    destination.address === "*" ||
    familyOf(destination.address) === only ||
    (only === 6 && services.ownerOf(destination.address)?.wildcard === "rewrite");
  const dead = items.map((item) => item.length > 0 && !item.some(reachable));
  if (!items.some((item) => item.some(reachable))) {
    report(
      "error",
      { key: "to", index: 0 },
      `${key} has IPv${only} prefixes only and the destinations IPv${other} addresses only, and an IPv${only} connection cannot go to an IPv${other} listener on an address of its own`,
      `add the daemon's IPv${only} address, or an IPv${other} prefix to ${key}`,
    );
    return false;
  }
  for (const [index, target] of targets.entries()) {
    if (dead[index] !== true) continue;
    report(
      "warning",
      { key: "to", index },
      `the destination ${formatTarget(target)} is IPv${other} and ${key} has IPv${only} prefixes only, so it is never reached`,
      `remove it, or add an IPv${other} prefix to ${key}`,
    );
  }
  return true;
}

/** Returns the families that `on` and `from` have in common. None is reported. */
function checkSources(
  on: readonly Prefix[],
  from: readonly Prefix[],
  report: Report,
): readonly Family[] {
  const inOn = familiesOf(on);
  const families = inOn.filter((family) => familiesOf(from).includes(family));
  if (families.length === 0) {
    report(
      "error",
      { key: "from", index: 0 },
      `from has IPv${familiesOf(from).join()} prefixes only and on IPv${inOn.join()} ones only, and no connection is both`,
      "give from prefixes of the family that on has, or leave one of the two out",
    );
  }
  return families;
}

/** Returns the families of packets that match these prefixes. No prefixes match all. */
function familiesOf(prefixes: readonly Prefix[]): readonly Family[] {
  const [only] = prefixes;
  if (only === undefined) return [4, 6];
  if (prefixes.length === 1) return [familyOf(only)];
  return ([4, 6] as const).filter((family) => prefixes.some((one) => familyOf(one) === family));
}

/**
 * Warns of a destination that its own mapping covers. It is no loop, as the socket is selected and
 * nothing is dialled, but the user should know what it means.
 */
function warnInside(
  entry: FileEntry,
  ports: readonly PortRange[],
  on: readonly Prefix[],
  items: readonly (readonly Destination[])[],
  services: ServiceTable,
  report: Report,
): void {
  for (const [index, item] of items.entries()) {
    const inside = item.find(({ address, port }) => {
      if (address === "*" || (port !== "same" && !portsContain(ports, port))) return false;
      // Without `on`, an address that a service owns is never mapped, not even by this mapping; and
      // one that a service could own is the everyday case, which only the host itself can dial.
      if (on.length === 0) return !isOwnable(address) && services.ownerOf(address) === undefined;
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
        ? `to keep this mapping off ${address}, give the other addresses in on`
        : `to keep this mapping off ${address}, leave it out of on`,
    );
    return;
  }
}
