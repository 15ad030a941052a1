/**
 * Documents that are right, read without the validator: that takes ten times as long for an entry, and zod, which it is made
 * with, takes longer to load than a small file to be applied. Nothing is taken here that the schema would not take; whatever
 * is unusual or wrong is null, and the schema's to judge.
 */
import type { Address, Prefix } from "../model/address.js";
import {
  engines,
  handovers,
  MAX_WEIGHT,
  mptcpModes,
  type PortRange,
  type Settings,
} from "../model/mapping.js";
import { MAX_PORT } from "../model/ports.js";
import { tellShare } from "../progress.js";
import { parseDestination, parseServiceAddress } from "./destination.js";
import { settingsOf, type Valid } from "./document.js";
import { parseInterface } from "./interface.js";
import { parsePorts } from "./port.js";
import { parseFrom, parseOn } from "./prefix.js";
import type { MappingEntry, ServiceEntry } from "./schema.js";
import { looksLikeAddress, MAX_NAME_LENGTH, NAME, type Target } from "./target.js";
import { VERSION } from "./version.js";

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

type Plain = Readonly<Record<string, unknown>>;

/** Mappings. */
const TOLD_EVERY = 4096;

export function readQuickly(document: unknown): Valid | null {
  if (!isPlain(document)) return null;
  const settings: Writable<Settings> = {};
  for (const key in document) {
    const value = document[key];
    switch (key) {
      case "$schema":
        if (typeof value !== "string") return null;
        break;
      case "version":
        if (value !== VERSION) return null;
        break;
      case "engine":
        if (!isOneOf(engines, value)) return null;
        settings.engine = value;
        break;
      case "mptcp":
        if (!isOneOf(mptcpModes, value)) return null;
        settings.mptcp = value;
        break;
      case "services":
      case "mappings":
        break;
      default:
        return null;
    }
  }
  const { version, services, mappings } = document;
  if (version === undefined || (services === undefined && mappings === undefined)) return null;
  const readServices = services === undefined ? [] : readAllServices(services);
  const readMappings = mappings === undefined ? [] : readAllMappings(mappings);
  if (readServices === null || readMappings === null) return null;
  return { services: readServices, mappings: readMappings, settings: settingsOf(settings) };
}

function readAllServices(raw: unknown): Valid["services"] | null {
  if (!isPlain(raw)) return null;
  const services: [string, ServiceEntry][] = [];
  for (const name in raw) {
    const entry = isName(name) && !looksLikeAddress(name) ? readQuickService(raw[name]) : null;
    if (entry === null) return null;
    services.push([name, entry]);
  }
  return services;
}

function readAllMappings(raw: unknown): MappingEntry[] | null {
  if (!Array.isArray(raw)) return null;
  const mappings: MappingEntry[] = [];
  for (const each of raw) {
    if (mappings.length % TOLD_EVERY === 0) tellShare(mappings.length, raw.length);
    const entry = readQuickEntry(each);
    if (entry === null) return null;
    mappings.push(entry);
  }
  return mappings;
}

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOneOf<Value>(values: readonly Value[], value: unknown): value is Value {
  return (values as readonly unknown[]).includes(value);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_NAME_LENGTH && NAME.test(value);
}

export function readQuickService(raw: unknown): ServiceEntry | null {
  if (!isPlain(raw)) return null;
  const entry: Partial<Writable<ServiceEntry>> = {};
  for (const key in raw) {
    const value = raw[key];
    switch (key) {
      case "address": {
        const address = oneOrList(value, readServiceAddress);
        if (address === null) return null;
        entry.address = address;
        break;
      }
      case "handover":
        if (!isOneOf(handovers, value)) return null;
        entry.handover = value;
        break;
      case "originate":
        if (value !== true) return null;
        entry.originate = value;
        break;
      default:
        return null;
    }
  }
  return entry.address === undefined ? null : (entry as ServiceEntry);
}

export function readQuickEntry(raw: unknown): MappingEntry | null {
  if (!isPlain(raw)) return null;
  const entry: Partial<Writable<MappingEntry>> = {};
  for (const key in raw) {
    const value = raw[key];
    switch (key) {
      case "name":
        if (!isName(value)) return null;
        entry.name = value;
        break;
      case "protocol": {
        const protocols = oneOrList(value, readProtocol);
        if (protocols === null) return null;
        entry.protocol = protocols;
        break;
      }
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
      case "handover":
        if (!isOneOf(handovers, value)) return null;
        entry.handover = value;
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

function readProtocol(value: unknown): "tcp" | "udp" | null {
  return value === "tcp" || value === "udp" ? value : null;
}

function readServiceAddress(value: unknown): Address | null {
  if (typeof value !== "string") return null;
  const parsed = parseServiceAddress(value);
  return parsed.ok ? parsed.address : null;
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
  if (isPlain(value)) return readWeighted(value);
  if (typeof value !== "string") return null;
  const parsed = parseDestination(value);
  return parsed.ok ? parsed.target : null;
}

function readWeighted(raw: Plain): Target | null {
  const { address, weight, ...others } = raw;
  if (Object.keys(others).length > 0 || typeof address !== "string") return null;
  if (typeof weight !== "number" || !Number.isInteger(weight)) return null;
  const target = weight >= 1 && weight <= MAX_WEIGHT ? readTarget(address) : null;
  return target && { ...target, weight };
}
