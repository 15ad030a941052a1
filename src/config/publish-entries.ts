/** What services publish, as entries of mappings. */
import type { Origin } from "../model/mapping.js";
import type { FileEntry, Report } from "./build.js";
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
 * Yields the entries of a document's services. `defined` has the services of the documents before
 * it, and gets those of this one.
 */
export function* entriesOf(
  { source, services }: Document,
  defined: Set<string>,
  problems: Problems,
): Generator<PublishedEntry> {
  for (const [service, { publish = [], on }] of services) {
    // A second definition is reported elsewhere.
    if (defined.has(service)) continue;
    defined.add(service);
    const own: Path = ["services", service];
    for (const { path: inside, protocol, ports, port } of publish) {
      const path: Path = [...own, "publish", ...inside];
      const of = typeof inside[0] === "string" ? "key" : "value";
      yield {
        entry: {
          name: undefined,
          protocols: [protocol],
          ports: [ports],
          on: on === undefined ? [] : listOf(on),
          from: [],
          interfaces: [],
          to: [{ kind: "service", service, port }],
          existing: undefined,
          miss: undefined,
          handover: undefined,
          listeners: undefined,
        },
        path,
        of,
        origin: { file: source.name, ...source.place(path, of) },
        // With its own addresses as the destinations, only `on` can be in the way.
        report: (severity, { key, index }, message, hint) => {
          const place = itemPath(source, [...own, "on"], key === "on" ? index : 0);
          note(problems, source, place, message, hint, "value", severity);
        },
      };
    }
  }
}
