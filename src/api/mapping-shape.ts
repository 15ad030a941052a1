/** Mappings as the JSON that scripts rely on. */
import type { Destination, Mapping, Service } from "../model/mapping.js";
import { formatPorts } from "../model/ports.js";

export interface MappingShape {
  readonly name: string;
  readonly protocol: string;
  /** The ports as in the configuration: `443`, `80,443`, `8000-8099`, `*`. */
  readonly port: string;
  readonly on: readonly string[];
  /** The source prefixes; empty means all. */
  readonly from: readonly string[];
  /** The interfaces; empty means all. */
  readonly interface: readonly string[];
  readonly to: readonly DestinationShape[];
  readonly existing: string;
  readonly miss: string;
  /** True when the mapping was added by `ilm add`. */
  readonly runtime: boolean;
  /** The place as `file:line`, or wherever else the mapping comes from. */
  readonly origin: string;
}

export interface DestinationShape {
  readonly address: string;
  /** The port; `"same"` is the port that was dialled. */
  readonly port: number | "same";
  readonly service: string | null;
  /** The weight; null when the list is an order. */
  readonly weight: number | null;
  /** The choice as in the configuration; the default is `auto`. */
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
