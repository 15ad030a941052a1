/**
 * Builds one rule set from documents: each was validated alone, and services and names are now
 * checked across all of them.
 */
import type { Address } from "../model/address.js";
import { type Mapping, type Origin, type Protocol, type Service } from "../model/mapping.js";
import { type RuleSet, type Settings } from "../model/rules.js";
import { type MappingColumns, MappingColumnsBuilder } from "../model/mapping-columns.js";
import { NameTable } from "../model/name-table.js";
import { beginStep, tellShare } from "../progress.js";
import { buildMappings, ServiceTable, type FileEntry, type Report } from "./build.js";
import type { Problems } from "./problems.js";
import { listOf, settingNames, type Document } from "./document.js";
import type { MappingEntry } from "./schema.js";
import { formatPath, type Path, type Source } from "./source.js";

/**
 * Builds the rule set. `complete` says that every file could be read, so a missing service is
 * defined nowhere. Problems of the documents themselves are already noted.
 */
export function buildRuleSet(
  documents: readonly Document[],
  complete: boolean,
  problems: Problems,
): RuleSet {
  const services = collectServices(documents, problems);
  const unsound = new Set(documents.flatMap((document) => document.unsound));
  const table = new ServiceTable(services, complete ? unsound : "any");
  const settings = collectSettings(documents, problems);
  const mappings = collectMappings(documents, table, problems);
  return { ...settings, services, mappings };
}

/**
 * Builds the mappings of some lines of a file whose services are known. Problems say whether they
 * are right; they are not yet checked against others.
 */
export function buildPart(
  document: Document,
  services: readonly Service[],
  problems: Problems,
): MappingColumns {
  return collectMappings([document], new ServiceTable(services), problems);
}

/** Each setting holds for all files. */
function collectSettings(documents: readonly Document[], problems: Problems): Settings {
  for (const name of settingNames) {
    const [first, ...others] = documents.filter(({ settings }) => settings[name] !== undefined);
    for (const { source, settings } of others) {
      if (settings[name] === first?.settings[name]) continue;
      add(
        problems,
        source,
        [name],
        `${name} is ${first?.settings[name]} in ${first?.source.name} already`,
        "set it once, or to the same value in all files",
      );
    }
  }
  return Object.assign({}, ...documents.map(({ settings }) => settings).toReversed()) as Settings;
}

function collectServices(documents: readonly Document[], problems: Problems): Service[] {
  const byName = new Map<string, Service>();
  const owners = new Map<Address, Service>();
  for (const { source, services } of documents) {
    for (const [name, entry] of services) {
      const path = ["services", name];
      const service: Service = {
        name,
        addresses: listOf(entry.address),
        ...(entry.handover !== undefined && { handover: entry.handover }),
        ...(entry.originate !== undefined && { originate: entry.originate }),
        origin: { file: source.name, ...source.place(path, "key") },
      };
      const earlier = byName.get(name);
      if (earlier !== undefined) {
        add(
          problems,
          source,
          path,
          `the service ${name} is defined at ${formatOrigin(earlier.origin)} already`,
          "give one of the two another name, or define it once with all its addresses",
          "key",
        );
        continue;
      }
      byName.set(name, service);
      claimAddresses(service, source, owners, problems);
    }
  }
  return [...byName.values()];
}

function claimAddresses(
  service: Service,
  source: Source,
  owners: Map<Address, Service>,
  problems: Problems,
): void {
  for (const [index, address] of service.addresses.entries()) {
    const owner = owners.get(address);
    owners.set(address, owner ?? service);
    if (owner === undefined) continue;
    const path = itemPath(source, ["services", service.name, "address"], index);
    if (owner === service) {
      add(problems, source, path, `${address} is already in the list`, "remove it");
      continue;
    }
    add(
      problems,
      source,
      path,
      `${address} is the address of the service ${owner.name} at ${formatOrigin(owner.origin)} already`,
      `an address belongs to one service: give ${service.name} another one`,
    );
  }
}

/** How often progress is reported, in mappings. */
const TOLD_EVERY = 4096;

function collectMappings(
  documents: readonly Document[],
  services: ServiceTable,
  problems: Problems,
): MappingColumns {
  const mappings = new MappingColumnsBuilder();
  const expected = documents.reduce((sum, document) => sum + document.mappings.length, 0);
  mappings.reserve(expected);
  const names = new NameTable((index) => mappings.at(index), expected);
  for (const { source, mappings: entries } of documents) {
    beginStep(`checking ${source.name}`);
    let at = 0;
    const report: Report = (severity, spot, message, hint) => {
      const place = itemPath(source, ["mappings", at, spot.key], spot.index);
      add(problems, source, place, message, hint, "value", severity);
    };
    for (let index = 0; index < entries.length; index++) {
      if (index % TOLD_EVERY === 0) tellShare(index, entries.length);
      const entry = entries.at(index);
      if (entry === null || entry === undefined) continue;
      at = index;
      const path = ["mappings", index];
      const { line, column } = source.place(path);
      const origin: Origin = { file: source.name, line, column };
      for (const mapping of buildMappings(toEntry(entry), services, origin, report)) {
        const earlier = names.put(mapping, mappings.length);
        if (earlier === undefined) mappings.push(mapping, entry.name === undefined);
        else reportTaken(mapping, mappings.at(earlier), entry, path, source, problems);
      }
    }
  }
  return mappings.finish();
}

const tcpOnly: readonly Protocol[] = ["tcp"];

function toEntry(entry: MappingEntry): FileEntry {
  const { name, protocol, port, on, from, interface: interfaces, to } = entry;
  const { existing, miss, handover } = entry;
  return {
    name,
    protocols: protocol === undefined ? tcpOnly : listOf(protocol),
    ports: listOf(port).map((item) =>
      typeof item === "number" ? { first: item, last: item } : item,
    ),
    on: on === undefined ? [] : listOf(on),
    from: from === undefined ? [] : listOf(from),
    interfaces: interfaces === undefined ? [] : listOf(interfaces),
    to: listOf(to),
    existing,
    miss,
    handover,
  };
}

function reportTaken(
  mapping: Mapping,
  earlier: Mapping,
  entry: MappingEntry,
  path: Path,
  source: Source,
  problems: Problems,
): void {
  const first = formatOrigin(earlier.origin);
  if (entry.name === undefined) {
    add(
      problems,
      source,
      path,
      `${mapping.name} at ${formatOrigin(mapping.origin)} is mapped at ${first} already`,
      "remove one of the two, or join their destinations in one list",
    );
    return;
  }
  add(
    problems,
    source,
    [...path, "name"],
    `the name ${mapping.name} (${mapping.protocol}) is taken by the mapping at ${first}`,
    "give one of the two another name",
  );
}

/** Formats `file:line:column`, like the messages themselves. */
function formatOrigin({ file, line, column }: Origin): string {
  return line > 0 ? `${file}:${line}:${column}` : file;
}

/** Returns the path of an item, which may have been written alone instead of in a list. */
function itemPath(source: Source, path: Path, index: number): Path {
  return Array.isArray(source.valueAt(path)) ? [...path, index] : path;
}

function add(
  problems: Problems,
  source: Source,
  path: Path,
  message: string,
  hint: string,
  of: "key" | "value" = "value",
  severity: "error" | "warning" = "error",
): void {
  problems.add({
    severity,
    file: source.name,
    ...source.place(path, of),
    path: formatPath(path),
    message,
    hint,
  });
}
