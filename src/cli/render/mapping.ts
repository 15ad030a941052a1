/** Describes mappings in words. */
import type { DestinationJson } from "../../json/mapping.js";
import type { Destination, Mapping, Service } from "../../model/mapping.js";
import { timeAt } from "../../kernel/boot-time.js";
import { formatEndpoint } from "../../model/endpoint.js";
import { formatListeners, formatOwner } from "../../model/owner.js";
import { formatPorts } from "../../model/ports.js";
import { formatMoment } from "../../words/text.js";

/**
 * Describes a mapping as `tcp 443 on 203.0.113.0/24 from 198.51.100.0/24 by eth0 -> 127.0.1.10,
 * 127.0.1.11:8443 (miss: reject)`.
 */
export function describeMapping(mapping: Omit<Mapping, "name" | "origin">): string {
  const { protocol, ports, on, from = [], interfaces = [], to, ...others } = mapping;
  const { existing, miss, listeners, until, description, ...more } = others;
  // A new key of mappings has to be described, or left out above.
  more satisfies Record<string, never>;
  const list = (word: string, values: readonly string[]): string =>
    values.length === 0 ? "" : ` ${word} ${values.join(", ")}`;
  const extras = [
    ...(existing === "exact" ? [] : [`existing: ${existing}`]),
    ...(miss === "pass" || to.length === 0 ? [] : [`miss: ${miss}`]),
    ...(listeners === undefined ? [] : [`listeners: ${formatListeners(listeners)}`]),
    ...(until === undefined ? [] : [`until ${formatMoment(timeAt(until))}`]),
    ...(description === undefined ? [] : [JSON.stringify(description)]),
  ];
  const where = list("on", on) + list("from", from) + list("by", interfaces);
  const suffix = extras.length === 0 ? "" : ` (${extras.join(", ")})`;
  const targets = describeDestinations(to);
  return `${protocol} ${formatPorts(ports)}${where} -> ${targets}${suffix}`;
}

export function describeDestinations(to: readonly Destination[]): string {
  return to.length === 0 ? "none" : to.map(describeDestination).join(", ");
}

/** Describes a destination as `127.0.1.10:80 (web)` or `127.0.1.10:80 (web, weight 3)`. */
export function describeDestination(
  destination: Omit<Destination, "handover" | "dualStack">,
): string {
  const { service, weight, ...place } = destination;
  return describeTarget({ ...place, service: service ?? null, weight: weight ?? null });
}

/** Describes a destination of the JSON, as `describeDestination` does. */
export function describeTarget(
  destination: Omit<DestinationJson, "handover" | "dualStack">,
): string {
  const { address, port, service, weight, ...more } = destination;
  more satisfies Record<string, never>;
  const notes = [
    ...(service === null ? [] : [service]),
    ...(weight === null ? [] : [`weight ${weight}`]),
  ];
  const endpoint = formatEndpoint(address, port);
  return notes.length === 0 ? endpoint : `${endpoint} (${notes.join(", ")})`;
}

/** Describes a service as `web: 127.0.1.10, fd5e:ed00::10 (unit nginx.service, wildcard: deny)`. */
export function describeService(service: Service): string {
  const { name, addresses, owner, mptcp, wildcard, description } = service;
  const notes = [
    ...(owner === undefined ? [] : [formatOwner(owner)]),
    ...(mptcp === undefined ? [] : [`mptcp: ${mptcp}`]),
    ...(wildcard === undefined ? [] : [`wildcard: ${wildcard}`]),
    ...(description === undefined ? [] : [JSON.stringify(description)]),
  ];
  const suffix = notes.length === 0 ? "" : ` (${notes.join(", ")})`;
  return `${name}: ${addresses.join(", ")}${suffix}`;
}
