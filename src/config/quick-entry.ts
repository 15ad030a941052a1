/**
 * The plain entries of which generated files have a million, read without the validator, which takes ten times as long.
 * It takes less than the schema and nothing else: whatever is unusual or wrong is null, and the schema's to judge.
 */
import type { Prefix } from "../model/address.js";
import type { PortRange } from "../model/mapping.js";
import { MAX_PORT } from "../model/ports.js";
import { parseDestination } from "./destination.js";
import { parseInterface } from "./interface.js";
import { parsePorts } from "./port.js";
import { parseFrom, parseOn } from "./prefix.js";
import type { MappingEntry } from "./schema.js";
import { MAX_NAME_LENGTH, NAME, type Target } from "./target.js";

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

export function readQuickEntry(raw: unknown): MappingEntry | null {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return null;
  const entry: Partial<Writable<MappingEntry>> = {};
  const record = raw as Record<string, unknown>;
  for (const key in record) {
    const value = record[key];
    switch (key) {
      case "name":
        if (typeof value !== "string" || value.length > MAX_NAME_LENGTH) return null;
        if (!NAME.test(value)) return null;
        entry.name = value;
        break;
      case "protocol":
        if (value !== "tcp" && value !== "udp") return null;
        entry.protocol = value;
        break;
      case "port": {
        const port = oneOrList(value, readPort);
        if (port === null) return null;
        entry.port = port;
        break;
      }
      case "on": {
        const prefixes = oneOrList(value, readOn);
        if (prefixes === null) return null;
        entry.on = prefixes;
        break;
      }
      case "from": {
        const prefixes = oneOrList(value, readFrom);
        if (prefixes === null) return null;
        entry.from = prefixes;
        break;
      }
      case "interface": {
        const names = oneOrList(value, readInterface);
        if (names === null) return null;
        entry.interface = names;
        break;
      }
      case "to": {
        const to = oneOrList(value, readTarget);
        if (to === null) return null;
        entry.to = to;
        break;
      }
      case "existing":
        if (value !== "exact" && value !== "any" && value !== "never") return null;
        entry.existing = value;
        break;
      case "miss":
        if (value !== "pass" && value !== "reject") return null;
        entry.miss = value;
        break;
      default:
        return null;
    }
  }
  return entry.port === undefined || entry.to === undefined ? null : (entry as MappingEntry);
}

function oneOrList<Item>(
  value: unknown,
  read: (value: unknown) => Item | null,
): Item | Item[] | null {
  if (!Array.isArray(value)) return read(value);
  if (value.length === 0) return null;
  const items: Item[] = [];
  for (const each of value) {
    const item = read(each);
    if (item === null) return null;
    items.push(item);
  }
  return items;
}

function readPort(value: unknown): number | PortRange | null {
  if (typeof value === "number") {
    return Number.isInteger(value) && value >= 1 && value <= MAX_PORT ? value : null;
  }
  if (typeof value !== "string") return null;
  const parsed = parsePorts(value);
  return parsed.ok ? parsed.range : null;
}

function readOn(value: unknown): Prefix | null {
  if (typeof value !== "string") return null;
  const parsed = parseOn(value);
  return parsed.ok ? parsed.prefix : null;
}

function readFrom(value: unknown): Prefix | null {
  if (typeof value !== "string") return null;
  const parsed = parseFrom(value);
  return parsed.ok ? parsed.prefix : null;
}

function readInterface(value: unknown): string | null {
  if (typeof value !== "string") return null;
  const parsed = parseInterface(value);
  return parsed.ok ? parsed.name : null;
}

function readTarget(value: unknown): Target | null {
  if (typeof value !== "string") return null;
  const parsed = parseDestination(value);
  return parsed.ok ? parsed.target : null;
}
