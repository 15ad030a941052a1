/** Mappings in words, and as the JSON that scripts rely on. */
import type { Destination, Mapping, Service } from "../../model/mapping.js";
import { formatPorts } from "../../model/ports.js";
import { formatEndpoint } from "../../model/endpoint.js";

export interface MappingShape {
  readonly name: string;
  readonly protocol: string;
  /** As in the configuration: `443`, `80,443`, `8000-8099`, `*`. */
  readonly port: string;
  readonly on: readonly string[];
  /** Empty: from everywhere. */
  readonly from: readonly string[];
  /** Empty: on every interface. */
  readonly interface: readonly string[];
  readonly to: readonly DestinationShape[];
  readonly existing: string;
  readonly miss: string;
  /** Added by `ilm add`. */
  readonly runtime: boolean;
  /** `file:line`, or where else it comes from. */
  readonly origin: string;
}

export interface DestinationShape {
  readonly address: string;
  /** `"same"`: the port that was dialled. */
  readonly port: number | "same";
  readonly service: string | null;
  /** Null: the list is an order. */
  readonly weight: number | null;
  /** As the configuration has it; the default is `auto`. */
  readonly handover: string;
}

export function mappingShape(mapping: Mapping, runtime: boolean): MappingShape {
  return {
    name: mapping.name,
    protocol: mapping.protocol,
    port: formatPorts(mapping.ports),
    on: mapping.on,
    from: mapping.from ?? [],
    interface: mapping.interfaces ?? [],
    to: mapping.to.map(destinationShape),
    existing: mapping.existing,
    miss: mapping.miss,
    runtime,
    origin: formatOrigin(mapping),
  };
}

export function destinationShape({
  address,
  port,
  service,
  weight,
  handover = "auto",
}: Destination): DestinationShape {
  return { address, port, service: service ?? null, weight: weight ?? null, handover };
}

export function formatOrigin({ origin }: Mapping | Service): string {
  return origin.line > 0 ? `${origin.file}:${origin.line}` : origin.file;
}

/** `tcp 443 on 203.0.113.0/24 from 198.51.100.0/24 by eth0 -> 127.0.1.10, 127.0.1.11:8443 (miss: reject)`. */
export function describeMapping(mapping: Mapping): string {
  const on = mapping.on.length === 0 ? "" : ` on ${mapping.on.join(", ")}`;
  const from = mapping.from === undefined ? "" : ` from ${mapping.from.join(", ")}`;
  const by = mapping.interfaces === undefined ? "" : ` by ${mapping.interfaces.join(", ")}`;
  const to = mapping.to.map(describeDestination).join(", ");
  const extras = [
    mapping.existing === "exact" ? "" : `existing: ${mapping.existing}`,
    mapping.miss === "pass" ? "" : `miss: ${mapping.miss}`,
  ].filter((extra) => extra !== "");
  const suffix = extras.length === 0 ? "" : ` (${extras.join(", ")})`;
  return `${mapping.protocol} ${formatPorts(mapping.ports)}${on}${from}${by} -> ${to}${suffix}`;
}

/** `127.0.1.10:80 (web)`, `127.0.1.10:80 (web, weight 3)`. */
export function describeDestination({ address, port, service, weight }: Destination): string {
  const endpoint = formatEndpoint(address, port);
  const notes = [
    ...(service === undefined ? [] : [service]),
    ...(weight === undefined ? [] : [`weight ${weight}`]),
  ];
  return notes.length === 0 ? endpoint : `${endpoint} (${notes.join(", ")})`;
}
