/** Describes mappings in words. */
import type { Destination, Mapping, Service } from "../../model/mapping.js";
import { formatEndpoint } from "../../model/endpoint.js";
import { formatListeners, formatOwner } from "../../model/owner.js";
import { formatPorts } from "../../model/ports.js";

/**
 * Describes a mapping as `tcp 443 on 203.0.113.0/24 from 198.51.100.0/24 by eth0 -> 127.0.1.10,
 * 127.0.1.11:8443 (miss: reject)`.
 */
export function describeMapping(mapping: Mapping): string {
  const on = mapping.on.length === 0 ? "" : ` on ${mapping.on.join(", ")}`;
  const from = mapping.from === undefined ? "" : ` from ${mapping.from.join(", ")}`;
  const by = mapping.interfaces === undefined ? "" : ` by ${mapping.interfaces.join(", ")}`;
  const to = mapping.to.map(describeDestination).join(", ");
  const extras = [
    mapping.existing === "exact" ? "" : `existing: ${mapping.existing}`,
    mapping.miss === "pass" ? "" : `miss: ${mapping.miss}`,
    mapping.listeners === undefined ? "" : `listeners: ${formatListeners(mapping.listeners)}`,
  ].filter((extra) => extra !== "");
  const suffix = extras.length === 0 ? "" : ` (${extras.join(", ")})`;
  return `${mapping.protocol} ${formatPorts(mapping.ports)}${on}${from}${by} -> ${to}${suffix}`;
}

/** Describes a destination as `127.0.1.10:80 (web)` or `127.0.1.10:80 (web, weight 3)`. */
export function describeDestination({ address, port, service, weight }: Destination): string {
  const endpoint = formatEndpoint(address, port);
  const notes = [
    ...(service === undefined ? [] : [service]),
    ...(weight === undefined ? [] : [`weight ${weight}`]),
  ];
  return notes.length === 0 ? endpoint : `${endpoint} (${notes.join(", ")})`;
}

/** Describes a service as `web: 127.0.1.10, fd5e:ed00::10 (unit nginx.service, wildcard: deny)`. */
export function describeService(service: Service): string {
  const { name, addresses, owner, mptcp, wildcard } = service;
  const notes = [
    ...(owner === undefined ? [] : [formatOwner(owner)]),
    ...(mptcp === undefined ? [] : [`mptcp: ${mptcp}`]),
    ...(wildcard === undefined ? [] : [`wildcard: ${wildcard}`]),
  ];
  const suffix = notes.length === 0 ? "" : ` (${notes.join(", ")})`;
  return `${name}: ${addresses.join(", ")}${suffix}`;
}
