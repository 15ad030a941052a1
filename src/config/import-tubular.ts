/**
 * Bindings of tubular: `{"bindings": [{"label", "prefix", "port", "protocol"}]}`; port 0, or none, is every port, and no protocol
 * is both. The order of precedence is ours: the longest prefix, then a port before all ports. A label names sockets that a
 * process hands over, and has no address: where it leads has to be told.
 */
import { parsePrefix } from "../model/address.js";
import { asObject, type Imported, type ImportedEntry } from "./imported.js";
import { quote } from "./source.js";

/** `labels`: destinations as in `to`, by label. */
export function importTubular(value: unknown, labels: ReadonlyMap<string, string>): Imported {
  const bindings = asObject(value)?.["bindings"];
  const entries: ImportedEntry[] = [];
  const unsaid: string[] = [];
  const unknown = new Set<string>();
  if (!Array.isArray(bindings)) return { entries, unsaid: ['there is no list "bindings"'] };
  for (const [index, raw] of bindings.entries()) {
    const { label, prefix, port = 0, protocol = ["tcp", "udp"] } = asObject(raw) ?? {};
    const parsed = typeof prefix === "string" ? parsePrefix(prefix) : null;
    const sound =
      typeof label === "string" &&
      parsed?.ok === true &&
      typeof port === "number" &&
      (protocol === "tcp" || protocol === "udp" || Array.isArray(protocol));
    if (!sound) {
      unsaid.push(`bindings[${index}] is no binding: ${quote(JSON.stringify(raw) ?? "")}`);
      continue;
    }
    const to = labels.get(label);
    if (to === undefined) unknown.add(label);
    entries.push({
      protocol,
      port: port === 0 ? "*" : port,
      on: parsed.prefix,
      to: to ?? placeholder(label),
    });
  }
  for (const label of unknown) {
    unsaid.push(
      `the label ${quote(label)} has no destination: give --label ${label}=DESTINATION, or define the service ${placeholder(label)}`,
    );
  }
  return { entries, unsaid };
}

/** A service that is not defined: `ilm check` refuses the file until it is. */
function placeholder(label: string): string {
  const name = label.toLowerCase().replace(/[^a-z0-9._-]+/g, "-");
  return `label-${name}`;
}
