/**
 * Builds one rule set from documents: each was validated alone, and services and names are now
 * checked across all of them.
 */
import { familyOf, type Address, type Prefix } from "../model/address.js";
import {
  type Mapping,
  type Origin,
  type Owner,
  type Protocol,
  type Service,
} from "../model/mapping.js";
import { type RuleSet, type Settings } from "../model/rules.js";
import { type MappingColumns, MappingColumnsBuilder } from "../model/mapping-columns.js";
import { NameTable } from "../model/name-table.js";
import { beginStep, tellShare } from "../progress.js";
import { buildMappings, ServiceTable, type FileEntry, type Report } from "./build.js";
import type { MachineId } from "./machine-id.js";
import { ownIpv4, ownIpv6, ulaOfMachine, type OwnAddress } from "./own-address.js";
import { ownerOf } from "./owner.js";
import type { Problems } from "./problems.js";
import { listOf, settingNames, type Document } from "./document.js";
import type { MappingEntry, ServiceEntry } from "./schema.js";
import { formatOrigin, itemPath, note } from "./note.js";
import { entriesOf, type PublishedEntry } from "./publish-entries.js";
import type { Path, Source } from "./source.js";

/**
 * Builds the rule set. `complete` says that every file could be read, so a missing service is
 * defined nowhere. `machineId` is called when an address depends on the host. Problems of the
 * documents themselves are already noted.
 */
export function buildRuleSet(
  documents: readonly Document[],
  complete: boolean,
  problems: Problems,
  machineId: MachineId,
): RuleSet {
  const settings = collectSettings(documents, problems);
  const prefix = {
    find: findUla(settings, machineId),
    isKnown: complete && !documents.some(saysUla),
  };
  const services = collectServices(documents, prefix, problems);
  const unsound = new Set(documents.flatMap((document) => document.unsound));
  const table = new ServiceTable(services, complete ? unsound : "any");
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
      const before = first?.settings[name];
      if (JSON.stringify(settings[name]) === JSON.stringify(before)) continue;
      const value = typeof before === "object" ? "something else" : before;
      note(
        problems,
        source,
        [name],
        `${name} is ${value} in ${first?.source.name} already`,
        "set it once, or to the same value in all files",
      );
    }
  }
  return Object.assign({}, ...documents.map(({ settings }) => settings).toReversed()) as Settings;
}

function collectServices(
  documents: readonly Document[],
  prefix: OwnPrefix,
  problems: Problems,
): Service[] {
  const byName = new Map<string, Service>();
  const owners = new Map<Address, Claim>();
  const policies = new Map<string, Service>();
  for (const { source, services } of documents) {
    for (const [name, entry] of services) {
      const path = ["services", name];
      const owner = ownerOf(entry);
      const written = listOf(entry.address);
      const given = giveAddresses(name, written, prefix.find);
      const service: Service = {
        name,
        addresses: given.map(({ address }) => address),
        ...(entry.handover !== undefined && { handover: entry.handover }),
        ...(entry.originate !== undefined && { originate: entry.originate }),
        ...(owner !== null && { owner }),
        ...(entry.mptcp !== undefined && { mptcp: entry.mptcp }),
        ...(entry.wildcard !== undefined && { wildcard: entry.wildcard }),
        ...(entry.description !== undefined && { description: entry.description }),
        origin: { file: source.name, ...source.place(path, "key") },
      };
      const earlier = byName.get(name);
      if (earlier !== undefined) {
        note(
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
      refuseWithoutOwner(service, source, problems);
      refuseHalfRewrite(service, written, source, problems);
      refuseWithoutPublish(name, entry, source, problems);
      refuseOtherPolicy(service, source, policies, problems);
      checkAuto({ name, written, given, prefix }, source, problems);
      claimAddresses(service, given, source, owners, problems);
    }
  }
  return [...byName.values()];
}

/** Refuses what is about a service's own sockets where it is not said whose those are. */
function refuseWithoutOwner(service: Service, source: Source, problems: Problems): void {
  if (service.owner !== undefined) return;
  for (const key of ["mptcp", "wildcard"] as const) {
    if (service[key] === undefined) continue;
    note(
      problems,
      source,
      ["services", service.name, key],
      `${key} is about the service's own sockets, and it is not known whose those are`,
      "add unit, user or group to the service",
      "key",
    );
  }
}

/** Refuses to rewrite binds of a service that lacks an address of a family. */
function refuseHalfRewrite(
  service: Service,
  written: readonly (Address | "auto")[],
  source: Source,
  problems: Problems,
): void {
  // On another host, it may not be known which addresses auto gives.
  if (service.wildcard !== "rewrite" || written.includes("auto")) return;
  const families = new Set(service.addresses.map(familyOf));
  const missing = ([4, 6] as const).find((family) => !families.has(family));
  if (missing === undefined) return;
  note(
    problems,
    source,
    ["services", service.name, "wildcard"],
    `wildcard: rewrite gives sockets of each family an address, and the service has none of IPv${missing}`,
    "write address: auto, or add one",
  );
}

/** Refuses `on` of a service that publishes nothing. */
function refuseWithoutPublish(
  name: string,
  { publish, on }: ServiceEntry,
  source: Source,
  problems: Problems,
): void {
  if (on === undefined || publish !== undefined) return;
  note(
    problems,
    source,
    ["services", name, "on"],
    "on is about what the service publishes, and it publishes nothing",
    `add publish, such as publish: 443, or write on in the mappings that lead to ${name}`,
    "key",
  );
}

/** Refuses a second wildcard policy for one owner. `seen` has the services by owner. */
function refuseOtherPolicy(
  service: Service,
  source: Source,
  seen: Map<string, Service>,
  problems: Problems,
): void {
  const { name, owner, wildcard } = service;
  if (owner === undefined || wildcard === undefined) return;
  const key = JSON.stringify(owner);
  const other = seen.get(key) ?? service;
  seen.set(key, other);
  if (other.wildcard === wildcard) return;
  note(
    problems,
    source,
    ["services", name, "wildcard"],
    `the service ${other.name} at ${formatOrigin(other.origin)} has the same owner and wildcard: ${other.wildcard}`,
    "write the same for both, or leave it out of one",
  );
}

/** An address of a service, and where in its list it is written. */
interface Given {
  readonly address: Address;
  readonly index: number;
  readonly isAuto: boolean;
}

/** The prefix of the host's own addresses. */
interface OwnPrefix {
  /** Returns the prefix, or null when there is none. */
  readonly find: () => Prefix | null;
  /** False when a prefix may be written that could not be read, which is reported elsewhere. */
  readonly isKnown: boolean;
}

function saysUla({ source }: Document): boolean {
  const { value } = source;
  return typeof value === "object" && value !== null && "ula" in value;
}

function findUla({ ula }: Settings, machineId: MachineId): OwnPrefix["find"] {
  let known = ula;
  return () => {
    const id = known === undefined ? machineId() : null;
    if (id !== null) known = ulaOfMachine(id);
    return known ?? null;
  };
}

/** Returns a service's addresses: `auto` gives one of each family that the list lacks. */
function giveAddresses(
  name: string,
  written: readonly OwnAddress[],
  ula: () => Prefix | null,
): Given[] {
  const families = new Set(written.map((one) => (one === "auto" ? null : familyOf(one))));
  return written.flatMap((address, index): Given | Given[] => {
    if (address !== "auto") return { address, index, isAuto: false };
    const prefix = families.has(6) ? null : ula();
    const own = [
      ...(families.has(4) ? [] : [ownIpv4(name)]),
      ...(prefix === null ? [] : [ownIpv6(name, prefix)]),
    ];
    return own.map((one) => ({ address: one, index, isAuto: true }));
  });
}

/** What a service asks for, and what it is given. */
interface Asked {
  readonly name: string;
  readonly written: readonly OwnAddress[];
  readonly given: readonly Given[];
  readonly prefix: OwnPrefix;
}

/** Notes where `auto` gives nothing, or not all that it should. */
function checkAuto(
  { name, written, given, prefix }: Asked,
  source: Source,
  problems: Problems,
): void {
  const index = written.indexOf("auto");
  if (index < 0) return;
  const place = itemPath(source, ["services", name, "address"], index);
  const families = given.map(({ address }) => familyOf(address));
  if (!families.includes(6)) {
    if (!prefix.isKnown) return;
    note(
      problems,
      source,
      place,
      "auto takes the IPv6 address from the host's own prefix, and this host has no machine id (/etc/machine-id) to derive one from",
      'write ula: with a /48 of fd00::/8 at the top of the file, such as ula: "fd5e:ed00:1::/48", or the IPv6 address itself beside auto',
    );
  } else if (!given.some(({ isAuto }) => isAuto)) {
    note(
      problems,
      source,
      place,
      "auto gives nothing, as the list has addresses of both families",
      "remove it",
    );
  }
}

interface Claim {
  readonly service: Service;
  readonly isAuto: boolean;
}

function claimAddresses(
  service: Service,
  given: readonly Given[],
  source: Source,
  owners: Map<Address, Claim>,
  problems: Problems,
): void {
  for (const { address, index, isAuto } of given) {
    const claim = owners.get(address);
    owners.set(address, claim ?? { service, isAuto });
    if (claim === undefined) continue;
    const path = itemPath(source, ["services", service.name, "address"], index);
    const { service: owner } = claim;
    if (owner === service) {
      note(problems, source, path, `${address} is already in the list`, "remove it");
      continue;
    }
    const given = isAuto ? `auto gives ${service.name} ${address}, which` : address;
    const explicit = isAuto ? service.name : owner.name;
    note(
      problems,
      source,
      path,
      `${given} is the address of the service ${owner.name} at ${formatOrigin(owner.origin)} already`,
      isAuto || claim.isAuto
        ? `write an explicit address for ${explicit} instead of auto`
        : `an address belongs to one service: give ${service.name} another one`,
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
  const defined = new Set<string>();
  const put = (mapping: Mapping, isNamed: boolean): Mapping | undefined => {
    const earlier = names.put(mapping, mappings.length);
    if (earlier !== undefined) return mappings.at(earlier);
    mappings.push(mapping, !isNamed);
    return undefined;
  };
  for (const document of documents) {
    const { source, mappings: entries } = document;
    beginStep(`checking ${source.name}`);
    // Before its mappings: those of one file are neighbours, and the head of NDJSON is line 1.
    for (const published of entriesOf(document, services, defined, problems)) {
      const { entry, origin, report } = published;
      for (const mapping of buildMappings(entry, services, origin, report)) {
        const earlier = put(mapping, false);
        if (earlier !== undefined) reportTwice(mapping, earlier, published, source, problems);
      }
    }
    let at = 0;
    const report: Report = (severity, spot, message, hint) => {
      const place = itemPath(source, ["mappings", at, spot.key], spot.index);
      note(problems, source, place, message, hint, "value", severity);
    };
    for (let index = 0; index < entries.length; index++) {
      if (index % TOLD_EVERY === 0) tellShare(index, entries.length);
      const entry = entries.at(index);
      if (entry === null || entry === undefined) continue;
      at = index;
      const path = ["mappings", index];
      const { line, column } = source.place(path);
      const origin: Origin = { file: source.name, line, column };
      const isNamed = entry.name !== undefined;
      for (const mapping of buildMappings(toEntry(entry), services, origin, report)) {
        const earlier = put(mapping, isNamed);
        if (earlier === undefined) continue;
        if (isNamed) reportTaken(mapping, earlier, path, source, problems);
        else reportTwice(mapping, earlier, { path, of: "value" }, source, problems);
      }
    }
  }
  return mappings.finish();
}

const tcpOnly: readonly Protocol[] = ["tcp"];

function toEntry(entry: MappingEntry): FileEntry {
  const { name, protocol, port, on, from, interface: interfaces, to } = entry;
  const { existing, miss, handover, listeners, description } = entry;
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
    listeners:
      listeners === undefined || listeners === "anyone" ? listeners : listOf<Owner>(listeners),
    description,
  };
}

/** Reports a mapping without a name that matches what an earlier one does. */
function reportTwice(
  mapping: Mapping,
  earlier: Mapping,
  { path, of }: Pick<PublishedEntry, "path" | "of">,
  source: Source,
  problems: Problems,
): void {
  const isSame = JSON.stringify(mapping.to) === JSON.stringify(earlier.to);
  note(
    problems,
    source,
    path,
    `${mapping.name} at ${formatOrigin(mapping.origin)} is mapped at ${formatOrigin(earlier.origin)} already`,
    isSame
      ? "remove one of the two"
      : "remove one of the two, or write one mapping with the destinations of both",
    of,
  );
}

function reportTaken(
  mapping: Mapping,
  earlier: Mapping,
  path: Path,
  source: Source,
  problems: Problems,
): void {
  note(
    problems,
    source,
    [...path, "name"],
    `the name ${mapping.name} (${mapping.protocol}) is taken by the mapping at ${formatOrigin(earlier.origin)}`,
    "give one of the two another name",
  );
}
