/**
 * Reads valid documents without the validator, which takes ten times as long per entry, and whose
 * zod takes longer to load than a small file takes to apply. It accepts nothing that the schema
 * would not. Whatever is unusual or wrong is null, and left to the schema.
 */
import type { Prefix, Refusal } from "../model/address.js";
import {
  engines,
  handovers,
  MAX_ID,
  MAX_WEIGHT,
  mptcpModes,
  strangerPolicies,
  serviceWildcards,
  wildcardPolicies,
  type Owner,
  type PortRange,
  type WildcardPolicies,
  type WildcardPolicy,
} from "../model/mapping.js";
import { MAX_PORT } from "../model/ports.js";
import { tellShare } from "../progress.js";
import { parseDestination } from "./destination.js";
import { hasContent, validOf, type Valid } from "./document.js";
import { parseDescription } from "./given-name.js";
import { parseInterface } from "./interface.js";
import { parseAnyip } from "./anyip.js";
import { parseFloating } from "./floating.js";
import { settledPrefixes } from "./prefixes.js";
import { parseOwnAddress, parseUla } from "./own-address.js";
import {
  ownerOf,
  parseAccount,
  parseUnit,
  policiesOf,
  type AccountKind,
  type OwnerKeys,
  type WrittenPolicies,
} from "./owner.js";
import { parsePorts } from "./port.js";
import { parseFrom, parseOn } from "./prefix.js";
import { parsePublished, publishedOf, type Published, type WrittenItem } from "./publish.js";
import type { Configuration, MappingEntry, ServiceEntry } from "./schema.js";
import { looksLikeAddress, MAX_NAME_LENGTH, NAME, NONE, type Target } from "./target.js";
import { VERSION } from "./version.js";

/** Reads a value, or returns null to leave it to the schema. */
type Reader<Value> = (raw: unknown) => Value | null;

/** A reader for each key of an entry. The compiler notices a missing one. */
type Readers<Entry> = { readonly [Key in keyof Entry]-?: Reader<Exclude<Entry[Key], undefined>> };

/** Reads an object with the required keys, and none but those of `readers`. */
function entryOf<Entry>(
  readers: Readers<Entry>,
  required: readonly (keyof Entry & string)[],
): Reader<Entry> {
  const known = new Map<string, Reader<unknown>>(Object.entries(readers));
  return (raw) => {
    if (!isPlain(raw)) return null;
    const entry: Record<string, unknown> = {};
    for (const key in raw) {
      const value = known.get(key)?.(raw[key]) ?? null;
      if (value === null) return null;
      entry[key] = value;
    }
    return required.every((key) => key in entry) ? (entry as Entry) : null;
  };
}

function oneOrList<Item>(read: Reader<Item>): Reader<Item | Item[]> {
  return (raw) => {
    if (!Array.isArray(raw)) return read(raw);
    return raw.length === 0 ? null : readAll(raw, read);
  };
}

function readAll<Item>(raw: readonly unknown[], read: Reader<Item>): Item[] | null {
  const items: Item[] = [];
  for (const each of raw) {
    const item = read(each);
    if (item === null) return null;
    items.push(item);
  }
  return items;
}

function oneOf<const Value>(...values: readonly Value[]): Reader<Value> {
  return (raw) => ((values as readonly unknown[]).includes(raw) ? (raw as Value) : null);
}

type Plain = Readonly<Record<string, unknown>>;

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readName(value: unknown): string | null {
  if (typeof value !== "string" || value.length > MAX_NAME_LENGTH) return null;
  return NAME.test(value) ? value : null;
}

/** Returns the reader of a text that one of our strict parsers turns into a value. */
function textBy<Value>(
  parse: (text: string) => { ok: true; value: Value } | Refusal,
): Reader<Value> {
  return (raw) => {
    if (typeof raw !== "string") return null;
    const parsed = parse(raw);
    return parsed.ok ? parsed.value : null;
  };
}

function prefixesBy(parse: typeof parseAnyip): Reader<readonly Prefix[]> {
  const read = oneOrList(textBy(parse));
  return (raw) => {
    const written = read(raw);
    return written && settledPrefixes(written);
  };
}

const readDescription = textBy(parseDescription);

function readAccount(kind: AccountKind): Reader<string | number> {
  const readName = textBy(parseAccount(kind));
  return (raw) => {
    if (typeof raw !== "number") return readName(raw);
    return Number.isInteger(raw) && raw >= 0 && raw <= MAX_ID ? raw : null;
  };
}

const ownerReaders = {
  unit: textBy(parseUnit),
  user: readAccount("user"),
  group: readAccount("group"),
};

const readOwnerKeys = entryOf<OwnerKeys>(ownerReaders, []);

function readOwner(raw: unknown): Owner | null {
  const keys = readOwnerKeys(raw);
  return keys && ownerOf(keys);
}

const readWildcard = oneOf(...wildcardPolicies);

function readPoliciesByName(raw: unknown): Record<string, WildcardPolicy> | null {
  if (!isPlain(raw)) return null;
  const policies = readAll(Object.values(raw), readWildcard);
  const names = Object.keys(raw);
  return policies && Object.fromEntries(names.map((name, i) => [name, policies[i] ?? "allow"]));
}

const readPolicyKeys = entryOf<Exclude<WrittenPolicies, WildcardPolicy>>(
  { default: readWildcard, units: readPoliciesByName, users: readPoliciesByName },
  [],
);

function readPolicies(raw: unknown): WildcardPolicies | null {
  const written = typeof raw === "string" ? readWildcard(raw) : readPolicyKeys(raw);
  return written && policiesOf(written, () => undefined);
}

function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MAX_PORT;
}

function readPort(value: unknown): number | PortRange | null {
  if (typeof value === "number") return isPort(value) ? value : null;
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

/** Texts read recently: most mappings of a file lead to the same few places. */
const targets = new Map<string, Target>();
const TARGETS_KEPT = 1000;

function readTarget(value: unknown): Target | null {
  if (isPlain(value)) return readWeighted(value);
  if (typeof value !== "string") return null;
  const known = targets.get(value);
  if (known !== undefined) return known;
  // A part of a text keeps all of it in memory, which may be hundreds of megabytes.
  const own = Buffer.from(value, "utf16le").toString("utf16le");
  const parsed = parseDestination(own);
  if (!parsed.ok) return null;
  if (targets.size >= TARGETS_KEPT) targets.clear();
  targets.set(own, parsed.target);
  return parsed.target;
}

function readWeighted(raw: Plain): Target | null {
  const { address, weight, ...others } = raw;
  if (Object.keys(others).length > 0 || typeof address !== "string") return null;
  if (typeof weight !== "number" || !Number.isInteger(weight)) return null;
  const target = weight >= 0 && weight <= MAX_WEIGHT ? readTarget(address) : null;
  return target && { ...target, weight };
}

export const readQuickEntry = entryOf<MappingEntry>(
  {
    name: readName,
    protocol: oneOrList(oneOf("tcp", "udp")),
    port: oneOrList(readPort),
    on: oneOrList(readOn),
    from: oneOrList(readFrom),
    interface: oneOrList(readInterface),
    to: oneOrList(readTarget),
    existing: oneOf("exact", "any", "never"),
    miss: oneOf("pass", "reject"),
    handover: oneOf(...handovers),
    listeners: (raw) => (raw === "anyone" ? raw : oneOrList(readOwner)(raw)),
    description: readDescription,
  },
  ["port", "to"],
);

const readPublishedText = textBy(parsePublished);

function readPublishedItem(raw: unknown): WrittenItem | null {
  return isPort(raw) ? raw : readPublishedText(raw);
}

const readPublishedItems = oneOrList(readPublishedItem);

function readPublish(raw: unknown): readonly Published[] | null {
  if (!isPlain(raw)) {
    const items = readPublishedItems(raw);
    return items === null ? null : publishedOf(items);
  }
  const byDialled: Record<string, number> = {};
  for (const key in raw) {
    const port = raw[key];
    if (readPublishedText(key) === null || !isPort(port)) return null;
    byDialled[key] = port;
  }
  const published = publishedOf({ byDialled });
  return published.length === 0 ? null : published;
}

const readService = entryOf<ServiceEntry>(
  {
    address: oneOrList(textBy(parseOwnAddress)),
    publish: readPublish,
    on: oneOrList(readOn),
    handover: oneOf(...handovers),
    originate: oneOf(true),
    ...ownerReaders,
    mptcp: oneOf("off"),
    wildcard: oneOf(...serviceWildcards),
    description: readDescription,
  },
  ["address"],
);

function readServices(raw: unknown): Record<string, ServiceEntry> | null {
  if (!isPlain(raw)) return null;
  const services: Record<string, ServiceEntry> = {};
  for (const name in raw) {
    if (readName(name) === null || looksLikeAddress(name) || name === NONE) return null;
    const entry = readService(raw[name]);
    if (entry === null) return null;
    services[name] = entry;
  }
  return services;
}

/** How often progress is reported, in mappings. */
const TOLD_EVERY = 4096;

function readMappings(raw: unknown): MappingEntry[] | null {
  if (!Array.isArray(raw)) return null;
  let done = 0;
  return readAll(raw, (each) => {
    if (done % TOLD_EVERY === 0) tellShare(done, raw.length);
    done++;
    return readQuickEntry(each);
  });
}

const readDocument = entryOf<Configuration>(
  {
    $schema: (raw) => (typeof raw === "string" ? raw : null),
    version: oneOf(VERSION),
    engine: oneOf(...engines),
    mptcp: oneOf(...mptcpModes),
    strangers: oneOf(...strangerPolicies),
    wildcard: readPolicies,
    ula: textBy(parseUla),
    anyip: prefixesBy(parseAnyip),
    floating: prefixesBy(parseFloating),
    services: readServices,
    mappings: readMappings,
  },
  ["version"],
);

/** Reads a document. Returns null also for one without content. */
export function readQuickly(raw: unknown): Valid | null {
  const document = readDocument(raw);
  return document === null || !hasContent(document) ? null : validOf(document);
}
