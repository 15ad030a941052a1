/**
 * Imports bindings of tubular: `{"bindings": [{"label", "prefix", "port", "protocol"}]}`. Port 0,
 * or none, is every port, and no protocol is both. The precedence is the same as ours: the longest
 * prefix, then a port before all ports. A label names sockets that a process hands over and has no
 * address, so the user has to say where it leads.
 */
import { IlmError } from "../errors.js";
import { parsePrefix, type Prefix } from "../model/address.js";
import { MAX_PORT } from "../model/ports.js";
import { asObject, type Imported, type ImportedEntry, type LeftRule } from "./imported.js";
import { quote } from "./source.js";

interface Binding {
  readonly label: string;
  readonly prefix: Prefix;
  readonly port: number;
  readonly protocol: "tcp" | "udp" | readonly ("tcp" | "udp")[];
}

/**
 * Imports bindings. `labels` has destinations by label, in the form of `to`. Throws USAGE when
 * there are no bindings.
 */
export function importTubular(value: unknown, labels: ReadonlyMap<string, string>): Imported {
  const bindings = asObject(value)?.["bindings"];
  if (!Array.isArray(bindings)) {
    throw new IlmError("USAGE", 'there is no list "bindings"', {
      remedy:
        'Give the file that tubular loads: {"bindings": [{"label", "prefix", "port", "protocol"}]}.',
    });
  }
  const entries: ImportedEntry[] = [];
  const unsaid: string[] = [];
  const left: LeftRule[] = [];
  const unknown = new Set<string>();
  for (const [index, raw] of bindings.entries()) {
    const binding = readBinding(raw);
    if (typeof binding === "string") {
      const place = `bindings[${index}]`;
      const rule = JSON.stringify(raw) ?? "";
      unsaid.push(`${place}: ${binding}: ${quote(rule)}`);
      left.push({ place, rule, reason: binding });
      continue;
    }
    const { label, prefix, port, protocol } = binding;
    const to = labels.get(label);
    if (to === undefined) unknown.add(label);
    entries.push({
      protocol,
      port: port === 0 ? "*" : port,
      on: prefix,
      to: to ?? placeholder(label),
    });
  }
  for (const label of unknown) {
    unsaid.push(
      `the label ${quote(label)} has no destination: give --label ${label}=DESTINATION, or define the service ${placeholder(label)}`,
    );
  }
  return { entries, remarks: [], unsaid, taken: [], left, notes: [] };
}

/** Returns the binding, or why it is invalid and what would be right. */
function readBinding(raw: unknown): Binding | string {
  const binding = asObject(raw);
  if (binding === null) return 'it is no object; write {"label", "prefix", "port", "protocol"}';
  const { label, prefix, port = 0, protocol = ["tcp", "udp"] } = binding;
  const unknown = Object.keys(binding).find(
    (key) => !["label", "prefix", "port", "protocol"].includes(key),
  );
  if (unknown !== undefined) return `the key ${quote(unknown)} is not known`;
  if (label === undefined) return "the label is missing, which says where it leads";
  if (typeof label !== "string" || label === "") {
    return "the label has to be a text that is not empty";
  }
  if (prefix === undefined) {
    return "the prefix is missing; write 0.0.0.0/0 or ::/0 for every address";
  }
  if (typeof prefix !== "string") return "the prefix has to be a text such as 127.0.0.0/8";
  const parsed = parsePrefix(prefix);
  if (!parsed.ok) return `the prefix: ${parsed.reason}; ${parsed.hint}`;
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    return `the port is ${quote(JSON.stringify(port) ?? "")}; write a number from 1 to ${MAX_PORT}, or 0 for every port`;
  }
  const protocols: unknown[] = Array.isArray(protocol) ? protocol : [protocol];
  const known = protocols.filter((one) => one === "tcp" || one === "udp");
  if (known.length === 0 || known.length < protocols.length) {
    return `the protocol is ${quote(JSON.stringify(protocol) ?? "")}; write "tcp" or "udp", or leave it out for both`;
  }
  const [only] = known;
  return {
    label,
    prefix: parsed.prefix,
    port,
    protocol: known.length === 1 && only !== undefined ? only : [...new Set(known)],
  };
}

/** Returns the name of a service that is not defined: `ilm check` refuses the file until it is. */
function placeholder(label: string): string {
  const name = label.toLowerCase().replace(/[^a-z0-9._-]+/g, "-");
  return `label-${name}`;
}
