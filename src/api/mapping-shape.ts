/** Mappings as the JSON that scripts rely on. */
import type { DestinationJson, MappingJson } from "../json/mapping.js";
import type { Destination, Mapping, Service } from "../model/mapping.js";
import { formatPorts } from "../model/ports.js";

export function mappingShape(mapping: Mapping, runtime: boolean): MappingJson {
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
    listeners: mapping.listeners ?? [],
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
}: Destination): DestinationJson {
  return { address, port, service: service ?? null, weight: weight ?? null, handover };
}

export function formatOrigin({ origin }: Mapping | Service): string {
  return origin.line > 0 ? `${origin.file}:${origin.line}` : origin.file;
}
