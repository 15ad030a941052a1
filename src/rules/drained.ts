/** Which destinations are drained, and what draining one means for the mappings that lead there. */
import { type Address, isUnspecified } from "../model/address.js";
import { type Drained, formatDrained, sameDrained } from "../model/drained.js";
import type { Destination, PortRange, Protocol, Service } from "../model/mapping.js";
import { type LazyMappings, type Mappings, toLazy } from "../model/mappings.js";
import { formatPorts, portsContain } from "../model/ports.js";
import { allMappings, type Rules } from "../model/rules.js";
import { IlmError } from "../errors.js";

/** A drained address, with what else has to fit. */
type Place = Pick<Drained, "protocol" | "port">;

/** The drained destinations by address, with services' names resolved. */
export class DrainedPlaces {
  readonly #places = new Map<Address | "*", Place[]>();

  constructor(drained: readonly Drained[], services: readonly Service[]) {
    for (const { protocol, address, service, port } of drained) {
      const own = services.find(({ name }) => name === service)?.addresses ?? [];
      for (const one of address === null ? own : [address]) {
        const known = this.#places.get(one);
        if (known === undefined) this.#places.set(one, [{ protocol, port }]);
        else known.push({ protocol, port });
      }
    }
  }

  get isEmpty(): boolean {
    return this.#places.size === 0;
  }

  /**
   * Reports whether a destination is drained. `port` is that of the daemon; 0 is each of several
   * that are dialled.
   */
  has(protocol: Protocol, address: Address | "*", port: number): boolean {
    if (this.isEmpty) return false;
    const key = address !== "*" && isUnspecified(address) ? "*" : address;
    return (this.#places.get(key) ?? []).some(
      (place) =>
        (place.protocol === null || place.protocol === protocol) &&
        (place.port === null || place.port === port),
    );
  }

  /** Reports whether a mapping's destination is drained, for all ports that it takes. */
  hasDestination(
    protocol: Protocol,
    ports: readonly PortRange[],
    { address, port, weight }: Destination,
  ): boolean {
    if (weight === 0) return true;
    if (this.isEmpty) return false;
    if (port !== "same") return this.has(protocol, address, port);
    return ports.every(({ first, last }) => {
      if (this.has(protocol, address, 0)) return true;
      for (let each = first; each <= last; each++) {
        if (!this.has(protocol, address, each)) return false;
      }
      return true;
    });
  }
}

/** Returns a function that reports whether a mapping leads to what is named. */
export function leadsTo(
  one: Drained,
  services: readonly Service[],
): (protocol: Protocol, ports: readonly PortRange[], to: readonly Destination[]) => boolean {
  const place = new DrainedPlaces([one], services);
  const { port: own } = one;
  return (protocol, ports, to) =>
    to.some(({ address, port }) =>
      port !== "same"
        ? place.has(protocol, address, port)
        : place.has(protocol, address, 0) ||
          (own !== null && portsContain(ports, own) && place.has(protocol, address, own)),
    );
}

/** The result of draining, or of ending that. */
export interface DrainChange {
  readonly kind: "drain" | "undrain";
  readonly drained: readonly Drained[];
  /** Drain also what leaves mappings without anybody. */
  readonly force: boolean;
}

/**
 * Returns what is drained after the change. Throws NOT_FOUND for a destination that no mapping
 * leads to, or that is not drained; and USAGE where a mapping would have nobody left.
 */
export function drainedAfter(
  before: readonly Drained[],
  { kind, drained: asked, force }: DrainChange,
  mappings: Mappings,
  services: readonly Service[],
): readonly Drained[] {
  if (kind === "undrain") {
    for (const one of asked) {
      if (!before.some((known) => sameDrained(known, one))) throw notDrained(one, before);
    }
    return before.filter((known) => !asked.some((one) => sameDrained(known, one)));
  }
  const lists = toLazy(mappings);
  for (const one of asked) refuseUnled(one, lists, services);
  const fresh = asked.filter(
    (one, index) =>
      !before.some((known) => sameDrained(known, one)) &&
      asked.findIndex((other) => sameDrained(other, one)) === index,
  );
  const after = [...before, ...fresh];
  if (!force) refuseLast(before, after, lists, services);
  return after;
}

function notDrained(one: Drained, before: readonly Drained[]): IlmError {
  return new IlmError("NOT_FOUND", `${formatDrained(one)} is not drained`, {
    remedy:
      before.length === 0
        ? "Nothing is drained."
        : `Drained: ${before.map(formatDrained).join(", ")}.`,
  });
}

/** Throws NOT_FOUND when no mapping leads to the destination. */
function refuseUnled(one: Drained, lists: LazyMappings, services: readonly Service[]): void {
  if (one.service !== null && !services.some(({ name }) => name === one.service)) {
    throw new IlmError("NOT_FOUND", `there is no service ${one.service}`, {
      remedy: "`ilm mappings` shows where the mappings lead.",
    });
  }
  const place = new DrainedPlaces([one], services);
  const seen = new Set<string>();
  let unsplit: string | undefined;
  for (let index = 0; index < lists.length; index++) {
    const [protocol, ports] = [lists.protocolAt(index), lists.portsAt(index)];
    for (const { address, port } of lists.toAt(index)) {
      const key = `${protocol} ${address} ${port}${port === "same" ? formatPorts(ports) : ""}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (port !== "same") {
        if (place.has(protocol, address, port)) return;
        continue;
      }
      if (place.has(protocol, address, 0)) return;
      const dialled = one.port !== null && portsContain(ports, one.port) ? one.port : null;
      if (dialled === null || !place.has(protocol, address, dialled)) continue;
      if (isSplit(ports)) return;
      unsplit = lists.nameAt(index);
    }
  }
  const shown = formatDrained(one);
  if (unsplit === undefined) {
    throw new IlmError("NOT_FOUND", `no mapping leads to ${shown}`, {
      remedy: "`ilm mappings` shows where the mappings lead.",
    });
  }
  throw new IlmError(
    "NOT_FOUND",
    `the mapping ${unsplit} leads to ${shown} with many other ports, which are one destination`,
    { remedy: "Name the destination without a port, to drain all of them." },
  );
}

/** Ports up to this many are destinations of their own (SPLIT_PORTS in compile.ts). */
export const SPLIT_PORTS = 256;

/** Reports whether each of these ports is a destination of its own, where it is the dialled one. */
export function isSplit(ports: readonly PortRange[]): boolean {
  return ports.reduce((sum, { first, last }) => sum + last - first + 1, 0) <= SPLIT_PORTS;
}

/**
 * Returns the names of the first mappings all of whose destinations are drained, so that they give
 * nobody new to anyone. A weight of 0 is the configuration's own.
 */
export function mappingsLeftAlone(rules: Rules): readonly string[] {
  const { drained = [] } = rules;
  if (drained.length === 0) return [];
  return leftAlone([], drained, toLazy(allMappings(rules)), rules.file.services);
}

/** Returns the names of the first mappings that had somebody before, and have nobody after. */
function leftAlone(
  before: readonly Drained[],
  after: readonly Drained[],
  lists: LazyMappings,
  services: readonly Service[],
): readonly string[] {
  const old = new DrainedPlaces(before, services);
  const fresh = new DrainedPlaces(after, services);
  const names: string[] = [];
  for (let index = 0; index < lists.length; index++) {
    if (index > 0 && lists.leadsLikeOneBefore(index) && !names.includes(lists.nameAt(index - 1))) {
      continue;
    }
    const [protocol, ports, to] = [
      lists.protocolAt(index),
      lists.portsAt(index),
      lists.toAt(index),
    ];
    const isLeft = (places: DrainedPlaces): boolean =>
      to.some((destination) => !places.hasDestination(protocol, ports, destination));
    const name = lists.nameAt(index);
    // Those of both protocols are two.
    if (isLeft(old) && !isLeft(fresh) && !names.includes(name)) names.push(name);
    if (names.length > NAMED) break;
  }
  return names;
}

/** Throws USAGE when a mapping had somebody before, and would have nobody. */
function refuseLast(
  before: readonly Drained[],
  after: readonly Drained[],
  lists: LazyMappings,
  services: readonly Service[],
): void {
  const names = leftAlone(before, after, lists, services);
  if (names.length === 0) return;
  const shown = names.slice(0, NAMED).join(", ");
  throw new IlmError(
    "USAGE",
    `nobody would be left for new connections to ${shown}${names.length > NAMED ? ", ..." : ""}`,
    {
      remedy:
        "Add another destination first; or --force drains it all the same: new connections then end as if nobody listened (`miss`).",
    },
  );
}

/** How many mappings are named. */
const NAMED = 5;
