/** What changes from one set of rules to another, in the user's terms. */
import type { Address } from "../model/address.js";
import { formatDrained } from "../model/drained.js";
import { type Mapping, type Service, type WildcardPolicies, mappingKey } from "../model/mapping.js";
import { type Rules, type RuleSet, type Settings, allMappings } from "../model/rules.js";

export interface ChangedMapping {
  readonly before: Mapping;
  readonly after: Mapping;
  /**
   * The names of the keys that differ: `ports`, `on`, `from`, `interfaces`, `until`, `to`,
   * `existing`, `miss`, `listeners`, `description`.
   */
  readonly fields: readonly string[];
}

export interface ChangedSetting {
  /** The setting's path in the configuration: `mptcp`, `services.app.originate`. */
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

export interface RuleDiff {
  /** Settings of the whole network namespace or of a service that differ. */
  readonly settings: readonly ChangedSetting[];
  readonly added: readonly Mapping[];
  readonly removed: readonly Mapping[];
  readonly changed: readonly ChangedMapping[];
  /** Destinations drained only after the change, and only before, as `drain` takes them. */
  readonly drained: readonly string[];
  readonly undrained: readonly string[];
  readonly servicesAdded: readonly Service[];
  readonly servicesRemoved: readonly Service[];
  /** Services' addresses that come. Those that go are in `addressesRemoved`. */
  readonly addressesAdded: readonly Address[];
  readonly addressesRemoved: readonly Address[];
}

/** Whether a mapping with another value is another mapping, or the same one changed. */
const isCompared = {
  // Its identity.
  name: false,
  protocol: false,
  ports: true,
  on: true,
  from: true,
  interfaces: true,
  until: true,
  to: true,
  existing: true,
  miss: true,
  listeners: true,
  // It decides nothing; but a change that is not shown is not kept either.
  description: true,
  // Where it was written does not count.
  origin: false,
} as const satisfies Record<keyof Mapping, boolean>;
const compared = (Object.keys(isCompared) as (keyof Mapping)[]).filter((key) => isCompared[key]);

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Returns the keys that differ. Where a mapping was written does not count. */
export function changedFields(before: Mapping, after: Mapping): string[] {
  if (before === after) return [];
  return compared.filter((field) => !same(before[field], after[field]));
}

/** The operations that arrays and lists of mappings share. */
interface List<T> {
  map<Result>(look: (value: T) => Result): Result[];
  filter(isWanted: (value: T) => boolean): T[];
}

function missing<T>(from: List<T>, inside: List<T>, key: (value: T) => string): T[] {
  const known = new Set(inside.map(key));
  return from.filter((value) => !known.has(key(value)));
}

export function diffRules(before: Rules, after: Rules): RuleDiff {
  // Adding a mapping leaves the file's mappings unchanged, and they may be a million.
  const sameFile = before.file === after.file;
  const old = sameFile ? before.runtime : allMappings(before);
  const fresh = sameFile ? after.runtime : allMappings(after);
  const byKey = new Map(old.map((mapping) => [mappingKey(mapping), mapping]));
  const changed: ChangedMapping[] = [];
  for (const mapping of fresh) {
    const previous = byKey.get(mappingKey(mapping));
    if (previous === undefined) continue;
    const fields = changedFields(previous, mapping);
    if (fields.length > 0) changed.push({ before: previous, after: mapping, fields });
  }
  const oldServices = before.file.services;
  const freshServices = after.file.services;
  const addresses = (services: readonly Service[]): Address[] =>
    services.flatMap((service) => service.addresses);
  const itself = (address: Address): string => address;
  const name = (service: Service): string => service.name;
  const [wasDrained, isDrained] = [before, after].map(({ drained = [] }) =>
    drained.map(formatDrained),
  ) as [string[], string[]];
  return {
    settings: sameFile ? [] : changedSettings(before.file, after.file),
    added: missing(fresh, old, mappingKey),
    removed: missing(old, fresh, mappingKey),
    changed,
    drained: missing(isDrained, wasDrained, String),
    undrained: missing(wasDrained, isDrained, String),
    servicesAdded: missing(freshServices, oldServices, name),
    servicesRemoved: missing(oldServices, freshServices, name),
    addressesAdded: missing(addresses(freshServices), addresses(oldServices), itself),
    addressesRemoved: missing(addresses(oldServices), addresses(freshServices), itself),
  };
}

function changedSettings(before: RuleSet, after: RuleSet): ChangedSetting[] {
  const settings = (rules: RuleSet): [string, string][] => [
    ...Object.entries(textsOf(rules)),
    ...rules.services.flatMap((service) => settingsOfService(service)),
  ];
  const old = new Map(settings(before));
  return settings(after).flatMap(([name, value]) => {
    const previous = old.get(name);
    return previous === undefined || previous === value
      ? []
      : { name, before: previous, after: value };
  });
}

/** Stands for a setting that is not made, and has no one value then. */
const DEFAULT = "default";

function textsOf(rules: Settings): Record<keyof Settings, string> {
  const { engine = "auto", mptcp = "on", strangers = DEFAULT, wildcard, ula = DEFAULT } = rules;
  const anyip = (rules.anyip ?? ["none"]).join(", ");
  const floating = (rules.floating ?? ["none"]).join(", ");
  return { engine, mptcp, strangers, wildcard: formatPolicies(wildcard), ula, anyip, floating };
}

/** Formats policies as `report, nginx.service allow, www-data deny`. */
function formatPolicies({ default: all = "allow", units, users }: WildcardPolicies = {}): string {
  const each = [...Object.entries(units ?? {}), ...Object.entries(users ?? {})];
  return [all, ...each.map(([name, policy]) => `${name} ${policy}`)].join(", ");
}

function settingsOfService(service: Service): [string, string][] {
  const { name, originate = false, owner = {}, mptcp = "on", wildcard = DEFAULT } = service;
  const { description = "none" } = service;
  const { unit = "any", user = "any", group = "any" } = owner;
  const values = { originate, unit, user, group, mptcp, wildcard, description };
  return Object.entries(values).map(([key, value]) => [`services.${name}.${key}`, String(value)]);
}

/** Returns what a mapping does, without where it was written. */
export function essenceOfMapping(mapping: Mapping): unknown {
  return [mapping.name, mapping.protocol, ...compared.map((field) => mapping[field])];
}

/** Returns what a service is, without where it was written. */
export function essenceOfService(service: Service): unknown {
  const { name, addresses, handover, originate, owner, mptcp, wildcard, description } = service;
  const all = { name, addresses, handover, originate, owner, mptcp, wildcard, description };
  return all satisfies { readonly [Key in keyof Omit<Service, "origin">]-?: unknown };
}
