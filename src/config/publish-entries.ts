/** What services publish, as entries of mappings. */
import type { Origin } from "../model/mapping.js";
import { type Address, type Family, familyOf, type Prefix } from "../model/address.js";
import type { FileEntry, Report, ServiceTable } from "./build.js";
import { listOf, type Document } from "./document.js";
import { itemPath, note } from "./note.js";
import type { Problems } from "./problems.js";
import type { Path } from "./source.js";

/** An item of `publish` as an entry of `mappings`, and where it is written. */
export interface PublishedEntry {
  readonly entry: FileEntry;
  readonly path: Path;
  /** Whether the item is the key at the path, or its value. */
  readonly of: "key" | "value";
  readonly origin: Origin;
  readonly report: Report;
}

/**
 * Yields the entries of a document's services, which `table` has too. `defined` has the services of
 * the documents before it, and gets those of this one.
 */
export function* entriesOf(
  { source, services }: Document,
  table: ServiceTable,
  defined: Set<string>,
  problems: Problems,
): Generator<PublishedEntry> {
  for (const [service, { publish = [], on }] of services) {
    // A second definition is reported elsewhere.
    if (defined.has(service)) continue;
    defined.add(service);
    const own: Path = ["services", service];
    const known = table.find(service);
    const ownPorts = new Set<string>();
    for (const { path: inside, protocol, ports, port } of publish) {
      const path: Path = [...own, "publish", ...inside];
      const of = typeof inside[0] === "string" ? "key" : "value";
      const place = {
        path,
        of,
        origin: { file: source.name, ...source.place(path, of) },
        // With its own addresses as the destinations, only `on` can be in the way.
        report: (severity, { key, index }, message, hint) => {
          const place = itemPath(source, [...own, "on"], key === "on" ? index : 0);
          note(problems, source, place, message, hint, "value", severity);
        },
      } as const satisfies Omit<PublishedEntry, "entry">;
      const to = { kind: "service", service, port } as const;
      yield {
        entry: { ...unsaid, protocols: [protocol], ports: [ports], on: listOf(on ?? []), to: [to] },
        ...place,
      };
      if (known?.wildcard !== "rewrite") continue;
      // The host itself may dial the service's own addresses. A dual-stack socket has the IPv4 one.
      const there = port === "same" ? ports : { first: port, last: port };
      const key = `${protocol} ${there.first}-${there.last}`;
      if (ownPorts.has(key)) continue;
      ownPorts.add(key);
      const ofFamily = (family: Family): Address[] =>
        known.addresses.filter((one) => familyOf(one) === family);
      if (ofFamily(4).length === 0 || ofFamily(6).length === 0) continue;
      yield {
        entry: {
          ...unsaid,
          protocols: [protocol],
          ports: [there],
          on: ofFamily(6).map((address) => `${address}/128` as Prefix),
          to: ofFamily(4).map((address) => ({ kind: "address", address, port: "same" })),
        },
        ...place,
      };
    }
  }
}

/** What is not said beside a service. */
const unsaid = {
  name: undefined,
  from: [],
  interfaces: [],
  existing: undefined,
  miss: undefined,
  handover: undefined,
  listeners: undefined,
  description: undefined,
} as const satisfies Partial<FileEntry>;
