/** Mappings as the JSON that scripts rely on. */
import type { Destination, Mapping, Service } from "../model/mapping.js";
import { formatPorts } from "../model/ports.js";

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
