/**
 * Chooses which active mappings a listing shows: by name, protocol, dialled address, port and
 * destination, up to a limit.
 */
import { parseDestination } from "../config/destination.js";
import { parsePorts } from "../config/port.js";
import { parseOn } from "../config/prefix.js";
import { nearest } from "../config/suggest.js";
import { formatTarget, type Target } from "../config/target.js";
import { IlmError, asSentence } from "../errors.js";
import { type Prefix, familyOf, overlaps, prefixAddress, prefixLength } from "../model/address.js";
import { type Destination, type PortRange, type Protocol, isRefusal } from "../model/mapping.js";
import { type LazyMappings, type Mappings, toLazy } from "../model/mappings.js";
import { formatPorts, portsContain } from "../model/ports.js";
import { type MappingHealth, isDown } from "../rules/health.js";
import { RATE_SECONDS, parseRateSeconds } from "./rates.js";
import { type SortOrder, sortOrders } from "./sort.js";

/** The choice as text, from the command line or the query of a request. */
export interface ChoiceOptions {
  readonly protocol?: Protocol;
  /** An address or a prefix that is dialled. */
  readonly on?: string;
  /** A port, or a range. */
  readonly port?: string;
  readonly to?: string;
  readonly limit?: string;
  readonly added?: boolean;
  readonly down?: boolean;
  readonly degraded?: boolean;
  readonly sort?: string;
  /** How long to measure rates, in seconds; true for the usual time. */
  readonly rate?: string | true;
  readonly connections?: boolean;
}

export interface Choice {
  readonly names: ReadonlySet<string>;
  readonly protocol: Protocol | undefined;
  /** A prefix of which the mapping has to cover an address. */
  readonly on: Prefix | undefined;
  /** Ports of which the mapping has to cover one. */
  readonly port: PortRange | undefined;
  readonly to: Target | undefined;
  readonly limit: number;
  /** Only mappings that were added at run time. */
  readonly added: boolean;
  /** Only mappings that give nothing new to anyone, be it over one family. */
  readonly down: boolean;
  /** Only mappings of which one of several destinations is down. */
  readonly degraded: boolean;
  readonly sort: SortOrder;
  /** How far apart two readings of the counters are, in seconds; null for one reading. */
  readonly rateSeconds: number | null;
  /** Count what is open at each destination. */
  readonly connections: boolean;
}

/** Parses a choice. Throws USAGE. `mark` precedes the names of options in messages. */
export function parseChoice(names: readonly string[], options: ChoiceOptions, mark = "--"): Choice {
  const sort = parseSort(options.sort ?? "rules", `${mark}sort`);
  const rate = options.rate ?? (sort === "rate" ? true : undefined);
  return {
    names: new Set(names),
    protocol: options.protocol,
    on: options.on === undefined ? undefined : parseDialled(options.on, `${mark}on`),
    port: options.port === undefined ? undefined : parsePort(options.port, `${mark}port`),
    to: options.to === undefined ? undefined : parseTo(options.to, `${mark}to`),
    limit:
      options.limit === undefined
        ? Infinity
        : parseLimit(options.limit, `${mark}limit`, "mappings"),
    added: options.added === true,
    down: options.down === true,
    degraded: options.degraded === true,
    sort,
    rateSeconds:
      rate === undefined
        ? null
        : rate === true
          ? RATE_SECONDS
          : parseRateSeconds(rate, `${mark}rate`),
    connections: options.connections === true || sort === "connections",
  };
}

function parseSort(text: string, option: string): SortOrder {
  const known = sortOrders.find((order) => order === text);
  if (known !== undefined) return known;
  throw refused(
    option,
    `${JSON.stringify(text)} is no order of mappings`,
    `write ${sortOrders.slice(0, -1).join(", ")} or ${sortOrders.at(-1)}`,
  );
}

function refused(option: string, reason: string, hint: string): IlmError {
  return new IlmError("USAGE", `${option}: ${reason}`, { remedy: asSentence(hint) });
}

function parseDialled(text: string, option: string): Prefix {
  const parsed = parseOn(text);
  if (!parsed.ok) throw refused(option, parsed.reason, parsed.hint);
  return parsed.prefix;
}

function parsePort(text: string, option: string): PortRange {
  const parsed = parsePorts(text);
  if (!parsed.ok) throw refused(option, parsed.reason, parsed.hint);
  return parsed.range;
}

function parseTo(text: string, option: string): Target {
  const parsed = parseDestination(text);
  if (!parsed.ok) throw refused(option, parsed.reason, parsed.hint);
  return parsed.target;
}

/** Parses how many of `things` to show at most. Throws USAGE. */
export function parseLimit(text: string, option: string, things: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw refused(option, `${JSON.stringify(text)} is not a number of ${things}`, "write 20");
}

export interface Chosen {
  /** The indexes of the mappings to show, in the order of the rules. */
  readonly indexes: readonly number[];
  /** How many mappings were chosen, including those beyond the limit. */
  readonly total: number;
}

/** Returns the health of the mapping with this index. */
export type HealthAt = (index: number) => MappingHealth;

/** What else is known of the mappings that are chosen from. */
interface Around {
  /** The number of the file's, which are the first. */
  readonly fromFile: number;
  /** Returns what tells the health of each; called when the choice goes by that. */
  readonly health: () => HealthAt;
  readonly services: readonly { readonly name: string }[];
}

/**
 * Chooses mappings, up to the limit if they stay in the order of the rules. Throws NOT_FOUND for a
 * name that no mapping has, and for a service that there is not.
 */
export function chooseMappings(
  mappings: Mappings,
  { fromFile, health, services }: Around,
  choice: Choice,
): Chosen {
  const lists = toLazy(mappings);
  const healthAt = choice.down || choice.degraded ? health() : null;
  const unknown = new Set(choice.names);
  const limit = choice.sort === "rules" ? choice.limit : Infinity;
  const indexes: number[] = [];
  let total = 0;
  for (let index = 0; index < lists.length; index++) {
    if (choice.names.size > 0) {
      const name = lists.nameAt(index);
      if (!choice.names.has(name)) continue;
      unknown.delete(name);
    }
    if (choice.added && index < fromFile) continue;
    if (healthAt !== null && !isAsked(healthAt(index), choice)) continue;
    if (!isChosen(lists, index, choice)) continue;
    total++;
    if (indexes.length < limit) indexes.push(index);
  }
  const [first] = unknown;
  if (first !== undefined) refuseUnknown(lists, first);
  const { to } = choice;
  if (to?.kind === "service" && services.every(({ name }) => name !== to.service)) {
    refuseService(to.service, services);
  }
  return { indexes, total };
}

/** With both, what is either. */
function isAsked(health: MappingHealth, { down, degraded }: Choice): boolean {
  return (down && isDown(health)) || (degraded && health.down.length > 0);
}

/**
 * Checks everything but the name. Reads no more of a mapping than necessary: there may be a
 * million.
 */
function isChosen(
  mappings: LazyMappings,
  index: number,
  { protocol, on, port, to }: Choice,
): boolean {
  return (
    (protocol === undefined || mappings.protocolAt(index) === protocol) &&
    (port === undefined || coversOne(mappings.portsAt(index), port)) &&
    (on === undefined || isDialled(mappings.onAt(index), on)) &&
    (to === undefined || leadsThere(mappings, index, to))
  );
}

function coversOne(ports: readonly PortRange[], { first, last }: PortRange): boolean {
  return ports.some((range) => range.first <= last && first <= range.last);
}

/** A mapping without prefixes is for every address. */
function isDialled(prefixes: readonly Prefix[], on: Prefix): boolean {
  const [address, length] = [prefixAddress(on), prefixLength(on)];
  return prefixes.length === 0 || prefixes.some((prefix) => overlaps(prefix, address, length));
}

function leadsThere(mappings: LazyMappings, index: number, to: Target): boolean {
  const destinations = mappings.toAt(index);
  if (to.kind === "none") return isRefusal({ to: destinations });
  return destinations.some((destination) => leadsTo(mappings.portsAt(index), destination, to));
}

function leadsTo(
  ports: readonly PortRange[],
  { address, port, service }: Destination,
  to: Exclude<Target, { readonly kind: "none" }>,
): boolean {
  if (to.kind === "address" ? to.address !== address : to.service !== service) return false;
  if (to.port === "same") return true;
  return port === "same" ? portsContain(ports, to.port) : port === to.port;
}

/** Throws NOT_FOUND for the first of the names that no mapping has. */
export function needNames(mappings: Mappings, names: readonly string[]): void {
  const lists = toLazy(mappings);
  const unknown = new Set(names);
  for (let index = 0; index < lists.length && unknown.size > 0; index++) {
    unknown.delete(lists.nameAt(index));
  }
  const [first] = unknown;
  if (first !== undefined) refuseUnknown(lists, first);
}

function refuseService(unknown: string, services: Around["services"]): never {
  const meant = nearest(
    unknown,
    services.map(({ name }) => name),
  );
  throw new IlmError("NOT_FOUND", `there is no service named ${unknown}`, {
    remedy: `${meant === null ? "" : `Did you mean ${meant}? `}\`ilm address\` lists the services.`,
  });
}

function refuseUnknown(mappings: LazyMappings, unknown: string): never {
  const known = new Set(Array.from({ length: mappings.length }, (_, i) => mappings.nameAt(i)));
  const meant = nearest(unknown, [...known]);
  throw new IlmError("NOT_FOUND", `there is no mapping named ${unknown}`, {
    remedy: `${meant === null ? "" : `Did you mean ${meant}? `}\`ilm mappings\` lists the active mappings.`,
  });
}

function formatDialled(on: Prefix): string {
  const whole = familyOf(on) === 4 ? 32 : 128;
  return prefixLength(on) === whole ? prefixAddress(on) : on;
}

/** Describes the choice, to follow "no mapping ...": "of tcp for port 443 to web". */
export function describeChoice({ protocol, on, port, to, added, ...choice }: Choice): string {
  return [
    ...describeHealthChoice(choice),
    ...(added ? ["that was added"] : []),
    ...(protocol === undefined ? [] : [`of ${protocol}`]),
    ...(on === undefined ? [] : [`for ${formatDialled(on)}`]),
    ...(port === undefined ? [] : [`for port ${formatPorts([port])}`]),
    ...(to === undefined ? [] : [`to ${formatTarget(to)}`]),
  ].join(" ");
}

function describeHealthChoice({ down, degraded }: Pick<Choice, "down" | "degraded">): string[] {
  if (down && degraded) return ["that is down or degraded"];
  return down ? ["that is down"] : degraded ? ["that is degraded"] : [];
}
