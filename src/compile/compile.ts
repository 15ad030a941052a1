/**
 * Compiles rules into tables. Pure: the same rules give the same tables on every host. Precedence
 * is decided here once, so that a lookup finds one winner: the longest `on` prefix, then the
 * smallest port set, then the longest `from`, then an explicit interface. Mappings that tie in all
 * of that are refused.
 */
import { type Problem, IlmError, configurationError } from "../errors.js";
import {
  type Family,
  type Prefix,
  addressBytes,
  familyOf,
  ipv4Number,
  isUnspecified,
  prefixLength,
} from "../model/address.js";
import {
  type Destination,
  type Mapping,
  type PortRange,
  type Protocol,
  isWeighted,
  mappingKey,
  protocols,
} from "../model/mapping.js";
import { type RuleSet, type Rules, allMappings } from "../model/rules.js";
import { type LazyMappings, toLazy } from "../model/mappings.js";
import { countPorts, formatPorts, sharedPorts } from "../model/ports.js";
import { type Candidate, candidates } from "../rules/candidates.js";
import { DrainedPlaces, SPLIT_PORTS } from "../rules/drained.js";
import { ownedBy } from "../rules/order.js";
import { type Permit, Permits, MAX_OWNERS, permitKey } from "../rules/permits.js";
import { ClassChains, type ChainTables, levelOf } from "./chains.js";
import { classify } from "./classes.js";
import { bytes, shorts, words } from "../model/columns.js";
import { HostTable, Hosts, mappedBytes } from "./hosts.js";
import { type Entry, Unit, entriesOf } from "./entries.js";
import { type Origins, findOrigins } from "./origins.js";
import { Reach, describeHidden, isFilledByHosts } from "./reach.js";
import {
  type Compiled,
  type CompiledClass,
  type Endpoint,
  PrefixColumns,
  StepColumns,
} from "./tables.js";

export interface Limits {
  /** The maximum number of destinations that one packet may try, per mapping and family. */
  readonly destinations: number;
  /** The maximum number of entries in the exact, prefix and source tables together. */
  readonly entries: number;
  /**
   * The maximum number of steps that one packet may take through mappings whose conditions it does
   * not meet.
   */
  readonly steps: number;
}

export const defaultLimits: Limits = { destinations: 16, entries: 4_000_000, steps: 512 };

/**
 * A mapping to the dialled port is split into one rule per port, up to SPLIT_PORTS: finding a place
 * by port is faster than by address and port. Beyond that, or with many such mappings, the tables
 * would grow more than it is worth.
 */
const SPLIT_RULES = 1_000_000;

/** The maximum number of ties to report: a generated file may have a million. */
const TIES = 1000;

/** The units with the same ports. */
interface UnitSet {
  readonly ports: readonly PortRange[];
  /** The number of ports. */
  readonly size: number;
  readonly units: Unit[];
  /** Mappings with exactly these ports that are kept as hosts instead of units. */
  readonly hosts: Hosts;
}

/** What a list of destinations compiles to, for all mappings that have it. */
interface Led {
  readonly candidates: Readonly<Record<Family, readonly Candidate[]>>;
  readonly counts: Readonly<Record<Family, number>>;
  /** True when some destination is on the port that was dialled. */
  readonly follows: boolean;
  readonly weighted: boolean;
  /**
   * Where the destinations begin, by protocol and the one port that is dialled, or 0 for several.
   */
  readonly runs: Map<number, Readonly<Record<Family, number>>>;
}

class Compiler {
  readonly problems: Problem[] = [];
  readonly #mappings: LazyMappings;
  readonly #input: Rules;
  readonly #limits: Limits;
  readonly #reach: Reach;

  readonly #ruleMapping = words();
  readonly #first = { 4: words(), 6: words() };
  readonly #count = { 4: bytes(), 6: bytes() };
  readonly #rulePermit = words();
  readonly #permits: Permits;
  readonly #drained: DrainedPlaces;
  readonly #permitList: (Permit | null)[] = [null];
  readonly #permitIndexes = new Map<string, number>();
  /** The index of the permit of each list of destinations, without `listeners`. */
  readonly #permitsOfLists = new Map<readonly Destination[], number>();
  readonly #destinationEndpoint = words();
  readonly #destinationShare = bytes();
  readonly #destinationAddress = bytes();
  readonly #destinationPort = shorts();
  readonly #destinationWeight = shorts();
  readonly #destinationDrained = bytes();
  readonly #endpoints: Endpoint[] = [];
  readonly #endpointIndexes = new Map<string, number>();
  readonly #destinationRuns = new Map<string, number>();
  /** Columns hold equal lists only once, so lists are compared by identity. */
  readonly #led = new Map<readonly Destination[], Led>();
  readonly #classes: CompiledClass[] = [];
  readonly #exact = new PrefixColumns();
  readonly #prefixes = new PrefixColumns();
  readonly #chainTables: ChainTables;
  readonly #tied = new Set<string>();
  readonly #origins: Origins;
  #splits = 0;

  constructor(input: Rules, limits: Limits, { permits, drained }: Around) {
    this.#permits = permits;
    this.#drained = drained;
    this.#input = input;
    this.#mappings = toLazy(allMappings(input));
    this.#limits = limits;
    this.#reach = new Reach(this.#mappings.length);
    this.#origins = findOrigins(input);
    let groups = 0;
    this.#chainTables = {
      steps: new StepColumns(),
      sources: new PrefixColumns(),
      interfaces: new Map(),
      owned: ownedBy(input.file.services),
      nextGroup: () => ++groups,
    };
  }

  compile(): Compiled {
    this.#refuseSameNames();
    this.#refuseOrigins();
    this.#pushRule(0, { 4: 0, 6: 0 }, { 4: 0, 6: 0 }, 0);
    for (const protocol of protocols) this.#compileProtocol(protocol);
    for (const [index, hiders] of this.#reach.hidden()) this.#warnHidden(index, hiders);
    const { steps, sources, interfaces, owned } = this.#chainTables;
    return {
      mappings: this.#mappings,
      classes: this.#classes,
      exact: this.#exact.table(),
      prefixes: this.#prefixes.table(),
      sources: sources.table(),
      rules: {
        count: this.#ruleMapping.length,
        mapping: this.#ruleMapping.view(),
        first4: this.#first[4].view(),
        first6: this.#first[6].view(),
        count4: this.#count[4].view(),
        count6: this.#count[6].view(),
        permit: this.#rulePermit.view(),
      },
      steps: steps.table(),
      destinations: {
        count: this.#destinationEndpoint.length,
        endpoint: this.#destinationEndpoint.view(),
        share: this.#destinationShare.view(),
        address: this.#destinationAddress.view(),
        port: this.#destinationPort.view(),
        weight: this.#destinationWeight.view(),
        drained: this.#destinationDrained.view(),
      },
      endpoints: this.#endpoints,
      permits: this.#permitList,
      interfaces: ["", ...interfaces.keys()],
      owned: [...owned],
    };
  }

  #mapping(index: number): Mapping {
    const mapping = this.#mappings.at(index);
    if (mapping === undefined) throw new IlmError("INTERNAL", `there is no mapping ${index}`);
    return mapping;
  }

  #problem(
    mapping: Mapping,
    message: string,
    hint: string,
    severity: Problem["severity"] = "error",
  ): void {
    const { file, line, column } = mapping.origin;
    this.problems.push({
      severity,
      file,
      line,
      column,
      path: `mapping ${mapping.name}`,
      message,
      hint,
    });
  }

  /**
   * Refuses run-time mappings with a name that is taken, by the file or by another. Within the
   * file, the parser has checked.
   */
  #refuseSameNames(): void {
    const { file, runtime } = this.#input;
    if (runtime.length === 0) return;
    const known = new Map<string, Mapping>();
    for (const [key, index] of toLazy(file.mappings).indexesOf(new Set(runtime.map(mappingKey)))) {
      known.set(key, this.#mapping(index));
    }
    for (const mapping of runtime) {
      const key = mappingKey(mapping);
      const other = known.get(key);
      if (other !== undefined) {
        this.#problem(
          mapping,
          `there is already a ${mapping.protocol} mapping of this name (${placeOf(other)})`,
          "rename one of them, or remove one",
        );
      }
      known.set(key, mapping);
    }
  }

  #refuseOrigins(): void {
    for (const { service, message } of this.#origins.refused) {
      const { file, line, column } = service.origin;
      this.problems.push({
        severity: "error",
        file,
        line,
        column,
        path: `service ${service.name}`,
        message,
        hint: "have one mapping lead there, with one address in on and one port; or remove originate",
      });
    }
  }

  #warnHidden(index: number, hiders: readonly number[]): void {
    const mapping = this.#mappings.at(index);
    // Next to an error, a warning that may result from it is noise.
    if (mapping === undefined || this.problems.some(({ severity }) => severity === "error")) return;
    this.#problem(
      mapping,
      describeHidden(hiders, this.#mappings, placeOf),
      "remove it; or let it come first, by longer prefixes in on, a smaller set of ports, or a longer from",
      "warning",
    );
  }

  #compileProtocol(protocol: Protocol): void {
    const sets = new Map<string | number, UnitSet>();
    const setOf = (ports: readonly PortRange[]): UnitSet => {
      const [range] = ports;
      const isOne = range !== undefined && ports.length === 1;
      const key = isOne ? range.first * 65_536 + range.last : formatPorts(ports);
      let set = sets.get(key);
      if (set === undefined) {
        set = { ports, size: countPorts(ports), units: [], hosts: new Hosts() };
        sets.set(key, set);
      }
      return set;
    };
    const { length } = this.#mappings;
    for (let index = 0; index < length; index++) {
      if (this.#mappings.protocolAt(index) === protocol) this.#addUnits(protocol, index, setOf);
    }
    const list = [...sets.values()];
    for (const { sets: covering, ranges } of classify(list.map((set) => set.ports))) {
      this.#compileClass(
        protocol,
        ranges,
        covering.flatMap((index) => list[index] ?? []),
      );
    }
  }

  /** Adds one rule for the mapping, or one for each port (see SPLIT_PORTS). */
  #addUnits(
    protocol: Protocol,
    index: number,
    setOf: (ports: readonly PortRange[]) => UnitSet,
  ): void {
    const led = this.#ledBy(this.#mappings.toAt(index));
    const longest = Math.max(led.counts[4], led.counts[6]);
    if (longest > this.#limits.destinations) {
      this.#problem(
        this.#mapping(index),
        `${longest} destinations, and a mapping can have ${this.#limits.destinations}`,
        "use fewer; a wildcard destination counts as two",
      );
      return;
    }
    const permit = this.#permitOf(index);
    const ports = this.#mappings.portsAt(index);
    const size = countPorts(ports);
    const split =
      led.follows && size > 1 && size <= SPLIT_PORTS && this.#splits + size <= SPLIT_RULES;
    const add = (set: UnitSet): void => {
      const [range] = set.ports;
      const only =
        set.ports.length === 1 && range?.first === range?.last ? range?.first : undefined;
      const first = this.#runsOf(led, protocol, only ?? 0, index);
      const rule = this.#pushRule(index, first, led.counts, permit);
      const host = size === set.size ? this.#mappings.ipv4HostAt(index) : -1;
      if (host >= 0) set.hosts.push(host, index, rule);
      // Use the set's own list of ports: a million equal ones take noticeable memory.
      else set.units.push(new Unit(this.#mappings, { index, size, ports: set.ports, rule }));
    };
    if (!split) {
      add(setOf(ports));
      return;
    }
    this.#splits += size;
    for (const { first, last } of ports) {
      for (let port = first; port <= last; port++) add(setOf([{ first: port, last: port }]));
    }
  }

  /** Returns the index of the permit of a mapping. */
  #permitOf(index: number): number {
    const to = this.#mappings.toAt(index);
    const listeners = this.#mappings.listenersAt(index);
    const known = listeners === undefined ? this.#permitsOfLists.get(to) : undefined;
    if (known !== undefined) return known;
    const permit = this.#permits.ofMapping(to, listeners);
    if (permit !== null && permit.owners.length > MAX_OWNERS) {
      this.#problem(
        this.#mapping(index),
        `${permit.owners.length} owners may listen there, with those of the services that it leads to, and ${MAX_OWNERS} are possible`,
        "name a group that all of them have",
      );
    }
    const number = this.#permitIndex(permit);
    if (listeners === undefined) this.#permitsOfLists.set(to, number);
    return number;
  }

  #permitIndex(permit: Permit | null): number {
    if (permit === null) return 0;
    const key = permitKey(permit);
    const known = this.#permitIndexes.get(key);
    if (known !== undefined) return known;
    const index = this.#permitList.push(permit) - 1;
    this.#permitIndexes.set(key, index);
    return index;
  }

  #ledBy(to: readonly Destination[]): Led {
    const known = this.#led.get(to);
    if (known !== undefined) return known;
    const both = { 4: candidates({ to }, 4), 6: candidates({ to }, 6) };
    const led: Led = {
      candidates: both,
      counts: { 4: both[4].length, 6: both[6].length },
      follows: to.some(({ port }) => port === "same"),
      weighted: isWeighted({ to }),
      runs: new Map(),
    };
    this.#led.set(to, led);
    return led;
  }

  /** `index` is that of the mapping that leads there. */
  #runsOf(
    led: Led,
    protocol: Protocol,
    onlyPort: number,
    index: number,
  ): Readonly<Record<Family, number>> {
    const key = onlyPort + (protocol === "udp" ? 65_536 : 0);
    const known = led.runs.get(key);
    if (known !== undefined) return known;
    const runOf = (family: Family): number =>
      this.#run(index, protocol, led.candidates[family], onlyPort, led.weighted);
    const runs = { 4: runOf(4), 6: runOf(6) };
    led.runs.set(key, runs);
    return runs;
  }

  /** Adds a rule and returns its number. */
  #pushRule(
    mapping: number,
    first: Readonly<Record<Family, number>>,
    count: Readonly<Record<Family, number>>,
    permit: number,
  ): number {
    this.#rulePermit.push(permit);
    for (const family of [4, 6] as const) {
      this.#first[family].push(first[family]);
      this.#count[family].push(count[family]);
    }
    return this.#ruleMapping.push(mapping);
  }

  /**
   * Returns the index of the first of these destinations, which are consecutive. Equal lists share
   * a place.
   */
  #run(
    index: number,
    protocol: Protocol,
    list: readonly Candidate[],
    onlyPort: number,
    weighted: boolean,
  ): number {
    let key: string = protocol;
    for (const { destination, address, port, weight, handover } of list) {
      key += ` ${destination} ${address} ${port === 0 ? onlyPort : port}`;
      if (weighted) key += `*${weight}`;
      if (handover !== undefined) key += ` ${handover}`;
    }
    const known = this.#destinationRuns.get(key);
    if (known !== undefined) return known;
    const first = this.#destinationEndpoint.length;
    for (const { destination, address, port: given, weight, handover } of list) {
      const port = given === 0 ? onlyPort : given;
      const said = handover === undefined ? undefined : { handover };
      // On a wildcard address listens whoever the rule permits.
      const permit = isUnspecified(address) ? null : this.#permits.ofAddress(address);
      const place = { protocol, address, port, ...said, permit };
      const endpoint = this.#endpoint(place, index);
      this.#destinationEndpoint.push(endpoint);
      this.#destinationShare.push(destination);
      this.#destinationAddress.append(addressBytes(address));
      this.#destinationPort.push(port);
      this.#destinationWeight.push(weight);
      const getsNone = weighted && weight === 0;
      const isDrained = getsNone || this.#drained.has(protocol, address, port);
      this.#destinationDrained.push(isDrained ? 1 : 0);
    }
    this.#destinationRuns.set(key, first);
    return first;
  }

  #endpoint(endpoint: Endpoint, mapping: number): number {
    const key = endpointKey(endpoint);
    const known = this.#endpointIndexes.get(key);
    if (known !== undefined) {
      this.#agreeOnHandover(known, endpoint, mapping);
      return known;
    }
    this.#endpointIndexes.set(key, this.#endpoints.length);
    const origin = this.#origins.of(endpoint);
    return this.#endpoints.push(origin === undefined ? endpoint : { ...endpoint, origin }) - 1;
  }

  /**
   * Checks that all mappings agree on an endpoint's hand-over, or leave it out: a socket is either
   * in a map or not.
   */
  #agreeOnHandover(index: number, { address, port, handover }: Endpoint, mapping: number): void {
    const known = this.#endpoints[index];
    if (known === undefined || handover === undefined || known.handover === handover) return;
    if (known.handover === undefined) {
      this.#endpoints[index] = { ...known, handover };
      return;
    }
    this.#problem(
      this.#mapping(mapping),
      `its destination ${address}, port ${port === 0 ? "as dialled" : port}, has handover: ${handover}, and another mapping has ${known.handover}`,
      "set the same in all mappings that lead there, or set it once, for the service",
    );
  }

  #compileClass(protocol: Protocol, ranges: readonly PortRange[], sets: readonly UnitSet[]): void {
    /** A mapping for all addresses is one for 0.0.0.0/0 and ::/0. */
    const units = new Map<Prefix, Unit | Unit[]>();
    const put = (unit: Unit): void => {
      for (const prefix of unit.prefixes) {
        const known = units.get(prefix);
        if (known === undefined) units.set(prefix, unit);
        else if (Array.isArray(known)) known.push(unit);
        else units.set(prefix, [known, unit]);
      }
    };
    for (const set of sets) for (const unit of set.units) put(unit);
    const alone = this.#hostsAlone(sets, units.keys(), put);
    for (const [prefix, here] of units) {
      if (Array.isArray(here)) this.#refuseTies(entriesOf(here, prefix), prefix);
    }
    this.#reach.look(units);
    const number = this.#classes.length + 1;
    const chains = new ClassChains(units, this.#chainTables);
    const fallback: Record<Family, number> = { 4: 0, 6: 0 };
    const before = { exact: this.#exact.count, prefixes: this.#prefixes.count };
    const address = new Uint8Array(16);
    for (let i = 0; i < alone.count; i++) {
      mappedBytes(alone.addresses.at(i), address);
      this.#exact.pushBits(number, { ipv6: false, address, length: 128 }, alone.rules.at(i));
      this.#reach.reach(alone.indexes.at(i));
    }
    for (const [prefix, here] of units) {
      // Nearly all prefixes need no chain.
      const isAlone = !Array.isArray(here) && here.isUnconditional;
      const target = isAlone ? here.rule : chains.head(prefix);
      const level = levelOf(prefix);
      if (level === "default") fallback[familyOf(prefix)] = target;
      else if (level === "exact") this.#exact.push(number, prefix, target);
      else this.#prefixes.push(number, prefix, target);
    }
    this.#classes.push({
      protocol,
      ranges,
      fallback,
      hasExact: this.#exact.count > before.exact,
      hasPrefix: this.#prefixes.count > before.prefixes,
      asks: chains.asks,
    });
    this.#refuseLimits(ranges, sets, chains.longest);
  }

  /**
   * Returns the hosts whose address is unique in this class. The others are `put` as units, beside
   * those whose prefixes are `taken`.
   */
  #hostsAlone(sets: readonly UnitSet[], taken: Iterable<Prefix>, put: (unit: Unit) => void): Hosts {
    const total = sets.reduce((sum, { hosts }) => sum + hosts.count, 0);
    const alone = new Hosts();
    if (total === 0) return alone;
    const others = new Set<number>();
    let mayFill = false;
    for (const prefix of taken) {
      mayFill ||= isFilledByHosts(prefix);
      if (levelOf(prefix) === "exact" && familyOf(prefix) === 4) others.add(ipv4Number(prefix));
    }
    if (!mayFill) {
      const table = new HostTable(total);
      for (const { hosts } of sets) {
        for (let i = 0; i < hosts.count; i++) {
          const address = hosts.addresses.at(i);
          if (table.put(address, i) !== undefined) others.add(address);
        }
      }
    }
    for (const set of sets) {
      const { hosts } = set;
      for (let i = 0; i < hosts.count; i++) {
        const address = hosts.addresses.at(i);
        if (mayFill || (others.size > 0 && others.has(address))) put(this.#unitOf(set, i));
        else alone.push(address, hosts.indexes.at(i), hosts.rules.at(i));
      }
    }
    return alone;
  }

  /** Makes a unit of a set's host. */
  #unitOf({ size, ports, hosts }: UnitSet, host: number): Unit {
    const [index, rule] = [hosts.indexes.at(host), hosts.rules.at(host)];
    return new Unit(this.#mappings, { index, size, ports, rule });
  }

  #refuseLimits(ranges: readonly PortRange[], sets: readonly UnitSet[], longest: number): void {
    const { entries, steps } = this.#limits;
    const { sources } = this.#chainTables;
    const examples = sets.flatMap((set) => {
      const host = set.hosts.count > 0 ? [this.#unitOf(set, 0)] : [];
      return [...set.units.slice(0, 1), ...host];
    });
    const [first] = examples;
    if (longest > steps && first !== undefined) {
      this.#problem(
        first.mapping,
        `for a connection to port ${formatPorts(ranges)}, up to ${longest} mappings and sources may have to be tried, and the limit is ${steps}`,
        "nest fewer prefixes in on and from, or name fewer interfaces",
      );
    }
    const used = this.#exact.count + this.#prefixes.count + sources.count;
    if (used <= entries) return;
    // The widest set of ports is the one that is repeated.
    const units = [...sets.flatMap((set) => set.units), ...examples];
    const widest = units.reduce(
      (most, unit) => (most === undefined || unit.size > most.size ? unit : most),
      first,
    );
    const wide = this.#mappings.filter(
      (mapping) => widest !== undefined && countPorts(mapping.ports) === widest.size,
    ).length;
    throw configurationError([
      {
        severity: "error",
        file: widest?.mapping.origin.file ?? this.#input.sources[0] ?? "<runtime>",
        line: widest?.mapping.origin.line ?? 0,
        column: widest?.mapping.origin.column ?? 0,
        path: widest === undefined ? "mappings" : `mapping ${widest.mapping.name}`,
        message: `the mappings need more than ${entries} table entries: one for each prefix of on or from and each set of ports that overlaps others${
          sets.length > 1
            ? `; ${wide} mappings have ${widest?.size ?? 0} ports, and are repeated for each smaller set inside`
            : ""
        }`,
        hint: "use fewer prefixes with wide sets of ports, or fewer different sets of ports inside them",
      },
    ]);
  }

  /** Refuses ties among the entries of one prefix, which are sorted: equal ones are neighbours. */
  #refuseTies(entries: readonly Entry[], prefix: Prefix): void {
    const seen = new Map<string, Unit>();
    let size = -1;
    for (const entry of entries) {
      if (entry.unit.size !== size) seen.clear();
      ({ size } = entry.unit);
      const key = `${entry.from ?? ""} ${entry.interface ?? ""}`;
      const other = seen.get(key);
      if (other === undefined) seen.set(key, entry.unit);
      else if (other.index !== entry.unit.index) this.#refuseTie(other, entry, prefix);
    }
  }

  #refuseTie(other: Unit, entry: Entry, prefix: Prefix): void {
    const { unit } = entry;
    const [earlier, later] = unit.index < other.index ? [unit, other] : [other, unit];
    const pair = `${earlier.index} ${later.index}`;
    if (this.#tied.has(pair) || this.#tied.size >= TIES) return;
    this.#tied.add(pair);
    const where = [
      prefixLength(prefix) === 0 ? "all addresses" : prefix,
      ...(entry.from === null ? [] : [`from ${entry.from}`]),
      ...(entry.interface === null ? [] : [`by the interface ${entry.interface}`]),
    ];
    this.#problem(
      later.mapping,
      `ties with mapping ${earlier.mapping.name} (${placeOf(earlier.mapping)}): both take ${describe(
        unit.ports,
        other.ports,
      )} on ${where.join(" ")}, with port sets of the same size`,
      "make the prefix of one of them longer, or its set of ports smaller, or remove one",
    );
  }
}

function describe(a: readonly PortRange[], b: readonly PortRange[]): string {
  return `port ${formatPorts(sharedPorts(a, b))}`;
}

function endpointKey({
  protocol,
  address,
  port,
}: Pick<Endpoint, "protocol" | "address" | "port">): string {
  return `${protocol} ${address} ${port}`;
}

function placeOf(mapping: Mapping): string {
  const { file, line, column } = mapping.origin;
  return line > 0 ? `${file}:${line}:${column}` : file;
}

/** What holds for all mappings, as services and run-time changes say. */
export interface Around {
  readonly permits: Permits;
  readonly drained: DrainedPlaces;
}

export interface Outcome {
  /** The tables, which are unusable when a problem is an error. */
  readonly compiled: Compiled;
  /**
   * What makes the rules impossible (ties, duplicate names, limits), and warnings about mappings
   * that can never match.
   */
  readonly problems: readonly Problem[];
}

/** A file's mappings with the tables made of them, for whoever applies what another has checked. */
export interface CompiledFile {
  readonly file: RuleSet;
  readonly compiled: Compiled;
}

export function tryCompile(
  rules: Rules,
  limits: Limits = defaultLimits,
  around: Around = {
    permits: new Permits(rules.file.services),
    drained: new DrainedPlaces(rules.drained ?? [], rules.file.services),
  },
): Outcome {
  const compiler = new Compiler(rules, limits, around);
  return { compiled: compiler.compile(), problems: compiler.problems };
}

/** Returns the problems of the rules; none when they compile cleanly. */
export function checkRules(rules: Rules, limits: Limits = defaultLimits): readonly Problem[] {
  return tryCompile(rules, limits).problems;
}

/** Compiles the rules. Throws CONFIGURATION with every error. */
export function compile(rules: Rules, limits: Limits = defaultLimits): Compiled {
  const { compiled, problems } = tryCompile(rules, limits);
  const errors = problems.filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw configurationError(errors);
  return compiled;
}

export type { Compiled, Endpoint };
