/** Mappings as the JSON that scripts rely on. */
import type { DestinationJson, MappingJson } from "../json/mapping.js";
import type { RatesJson } from "../json/mappings.js";
import type { DrainedDestinationJson } from "../json/drain.js";
import { timeAt } from "../kernel/boot-time.js";
import { formatDrained, type Drained } from "../model/drained.js";
import type { Counters } from "../model/decision.js";
import type { Destination, Mapping, Protocol, Service } from "../model/mapping.js";
import { formatPorts } from "../model/ports.js";

export function mappingShape(mapping: Mapping, runtime: boolean): MappingJson {
  const { name, protocol, ports, on, from = [], interfaces = [], to, ...others } = mapping;
  const { existing, miss, listeners = [], description = null, until, origin, ...more } = others;
  // A new key of mappings needs a place in the JSON.
  more satisfies Record<string, never>;
  return {
    name,
    protocol,
    port: formatPorts(ports),
    on,
    from,
    interface: interfaces,
    to: to.map(destinationShape),
    existing,
    miss,
    listeners,
    description,
    runtime,
    until: until === undefined ? null : timeAt(until),
    origin: formatOrigin({ origin }),
  };
}

export function destinationShape({
  address,
  port,
  service,
  weight,
  handover = "auto",
  dualStack,
  ...more
}: Destination): DestinationJson {
  more satisfies Record<string, never>;
  return {
    address,
    port,
    service: service ?? null,
    weight: weight ?? null,
    handover,
    dualStack: dualStack ?? false,
  };
}

/** `open` is how many are open; null when they were not counted. */
export function openShape(
  protocol: Protocol,
  open: number | null,
): { readonly connections: number | null; readonly flows: number | null } {
  return {
    connections: protocol === "tcp" ? open : null,
    flows: protocol === "udp" ? open : null,
  };
}

/** `rates` are what was counted in a second, between readings that were so many seconds apart. */
export function ratesShape(rates: Counters, seconds: number): RatesJson {
  return {
    seconds: rounded(seconds),
    existingPerSecond: rounded(rates.existing),
    selectedPerSecond: rounded(rates.selected),
    missedPerSecond: rounded(rates.missed),
    errorsPerSecond: rounded(rates.errors),
  };
}

/** Rounds to thousandths: more would be noise. */
export function rounded(number: number): number {
  return Math.round(number * 1000) / 1000;
}

export function drainedShape(drained: Drained): DrainedDestinationJson {
  return { destination: formatDrained(drained), ...drained };
}

export function formatOrigin({ origin }: Pick<Mapping | Service, "origin">): string {
  return origin.line > 0 ? `${origin.file}:${origin.line}` : origin.file;
}
