/**
 * Rules -> tables, pure: the same rules give the same tables on every host. Precedence is decided here once, so that a
 * lookup finds one winner: the longest `on` prefix, then the smallest port set; what ties in both is refused.
 */
import { type Problem, configurationError } from "../errors.js";
import {
  type Address,
  type Family,
  type Prefix,
  familyOf,
  prefixAddress,
  prefixLength,
} from "../model/address.js";
import {
  type Mapping,
  type PortRange,
  type Protocol,
  type Rules,
  allMappings,
  mappingKey,
  protocols,
} from "../model/mapping.js";
import { countPorts, formatPorts } from "../model/ports.js";
import { type Candidate, candidates } from "../model/candidates.js";
import { classify } from "./classes.js";

/** A place where sockets are kept: one address and port, or every port of an address (port 0). */
export interface Endpoint {
  readonly protocol: Protocol;
  readonly address: Address;
  /** Host byte order. */
  readonly port: number;
}

export interface CompiledDestination {
  /** Index into `endpoints`. */
  readonly endpoint: number;
  readonly address: Address;
  /** Host byte order; 0: the port that was dialled. */
  readonly port: number;
}

export interface CompiledRule {
  /** Index into the mappings. */
  readonly mapping: number;
  /** Into `destinations`, for each family's packets. */
  readonly first: Readonly<Record<Family, number>>;
  readonly count: Readonly<Record<Family, number>>;
}

export interface CompiledClass {
  readonly protocol: Protocol;
  readonly ranges: readonly PortRange[];
  /** Rule numbers for the rest of the addresses; 0: none. */
  readonly fallback: Readonly<Record<Family, number>>;
  readonly hasExact: boolean;
  readonly hasPrefix: boolean;
}

export interface Compiled {
  readonly mappings: readonly Mapping[];
  /** Class n of the tables is classes[n - 1]. */
  readonly classes: readonly CompiledClass[];
  /** `class`: number of the class, from 1. `rule`: number of the rule, from 1. */
  readonly exact: readonly { class: number; address: Address; rule: number }[];
  readonly prefixes: readonly { class: number; prefix: Prefix; rule: number }[];
  /** Rule n of the tables is rules[n - 1]. */
  readonly rules: readonly CompiledRule[];
  readonly destinations: readonly CompiledDestination[];
  readonly endpoints: readonly Endpoint[];
  /** The services' own addresses. */
  readonly owned: readonly Address[];
}

export interface Limits {
  /** Destinations that one packet may try, per mapping and family. */
  readonly destinations: number;
  /** Entries of the exact and prefix tables together. */
  readonly entries: number;
}

export const defaultLimits: Limits = { destinations: 16, entries: 4_000_000 };

/**
 * A mapping to the dialled port is split into one rule per port up to this many ports: a place per port is found faster
 * than by address and port. Beyond, the table would grow more than that is worth.
 */
const SPLIT_PORTS = 256;

interface Unit {
  readonly mapping: number;
  readonly ports: readonly PortRange[];
  readonly rule: number;
}

class Compiler {
  readonly problems: Problem[] = [];
  readonly #rules: CompiledRule[] = [];
  readonly #destinations: CompiledDestination[] = [];
  readonly #endpoints: Endpoint[] = [];
  readonly #endpointIndexes = new Map<string, number>();
  readonly #destinationRuns = new Map<string, number>();
  readonly #classes: CompiledClass[] = [];
  readonly #exact: { class: number; address: Address; rule: number }[] = [];
  readonly #prefixes: { class: number; prefix: Prefix; rule: number }[] = [];
  readonly #tied = new Set<string>();
  readonly #mappings: readonly Mapping[];
  readonly #limits: Limits;

  constructor(
    readonly input: Rules,
    limits: Limits,
  ) {
    this.#mappings = allMappings(input);
    this.#limits = limits;
  }

  compile(): Compiled {
    this.#refuseSameNames();
    for (const protocol of protocols) this.#compileProtocol(protocol);
    return {
      mappings: this.#mappings,
      classes: this.#classes,
      exact: this.#exact,
      prefixes: this.#prefixes,
      rules: this.#rules,
      destinations: this.#destinations,
      endpoints: this.#endpoints,
      owned: this.input.file.services.flatMap((service) => service.addresses),
    };
  }

  #problem(mapping: Mapping, message: string, hint: string): void {
    const { file, line, column } = mapping.origin;
    this.problems.push({
      severity: "error",
      file,
      line,
      column,
      path: `mapping ${mapping.name}`,
      message,
      hint,
    });
  }

  /** Within the file the parser has seen to it; a mapping added at run time may meet one of the file. */
  #refuseSameNames(): void {
    const known = new Map<string, Mapping>();
    for (const mapping of this.#mappings) {
      const other = known.get(mappingKey(mapping));
      if (other !== undefined) {
        this.#problem(
          mapping,
          `there is already a ${mapping.protocol} mapping of this name (${placeOf(other)})`,
          "give one of them another name, or remove one",
        );
      }
      known.set(mappingKey(mapping), mapping);
    }
  }

  #compileProtocol(protocol: Protocol): void {
    const sets = new Map<string, { ports: readonly PortRange[]; units: Unit[] }>();
    this.#mappings.forEach((mapping, index) => {
      if (mapping.protocol !== protocol) return;
      for (const unit of this.#units(mapping, index)) {
        const key = formatPorts(unit.ports);
        const set = sets.get(key);
        if (set === undefined) sets.set(key, { ports: unit.ports, units: [unit] });
        else set.units.push(unit);
      }
    });
    const list = [...sets.values()];
    for (const { sets: covering, ranges } of classify(list.map((set) => set.ports))) {
      this.#compileClass(
        protocol,
        ranges,
        covering.flatMap((index) => list[index]?.units ?? []),
      );
    }
  }

  /** One rule for the mapping, or one for each port (see SPLIT_PORTS). */
  #units(mapping: Mapping, index: number): Unit[] {
    const lists: Record<Family, Candidate[]> = {
      4: candidates(mapping, 4),
      6: candidates(mapping, 6),
    };
    const longest = Math.max(lists[4].length, lists[6].length);
    if (longest > this.#limits.destinations) {
      this.#problem(
        mapping,
        `${longest} destinations, and a mapping can have ${this.#limits.destinations}`,
        "use fewer; a wildcard destination counts as two",
      );
      return [];
    }
    const count = countPorts(mapping.ports);
    const follows = mapping.to.some((destination) => destination.port === "same");
    const split = follows && count > 1 && count <= SPLIT_PORTS;
    const portSets: (readonly PortRange[])[] = split
      ? mapping.ports.flatMap(({ first, last }) =>
          Array.from({ length: last - first + 1 }, (_, i) => [
            { first: first + i, last: first + i },
          ]),
        )
      : [mapping.ports];
    return portSets.map((ports) => {
      const only =
        ports.length === 1 && ports[0]?.first === ports[0]?.last ? ports[0]?.first : undefined;
      const first4 = this.#run(mapping.protocol, lists[4], only);
      const first6 = this.#run(mapping.protocol, lists[6], only);
      this.#rules.push({
        mapping: index,
        first: { 4: first4, 6: first6 },
        count: { 4: lists[4].length, 6: lists[6].length },
      });
      return { mapping: index, ports, rule: this.#rules.length };
    });
  }

  /** Index of the first of these destinations, which lie one after the other. Equal lists share a place. */
  #run(protocol: Protocol, list: readonly Candidate[], onlyPort: number | undefined): number {
    const resolved = list.map(({ address, port }) => ({
      address,
      port: port === 0 ? (onlyPort ?? 0) : port,
    }));
    const key = `${protocol} ${resolved.map(({ address, port }) => `${address} ${port}`).join(",")}`;
    const known = this.#destinationRuns.get(key);
    if (known !== undefined) return known;
    const first = this.#destinations.length;
    for (const { address, port } of resolved) {
      this.#destinations.push({
        endpoint: this.#endpoint({ protocol, address, port }),
        address,
        port,
      });
    }
    this.#destinationRuns.set(key, first);
    return first;
  }

  #endpoint(endpoint: Endpoint): number {
    const key = `${endpoint.protocol} ${endpoint.address} ${endpoint.port}`;
    const known = this.#endpointIndexes.get(key);
    if (known !== undefined) return known;
    this.#endpointIndexes.set(key, this.#endpoints.length);
    return this.#endpoints.push(endpoint) - 1;
  }

  #compileClass(protocol: Protocol, ranges: readonly PortRange[], units: readonly Unit[]): void {
    /** Prefix -> the unit that wins it. A mapping for all addresses is one for 0.0.0.0/0 and ::/0. */
    const winners = new Map<Prefix, Unit>();
    for (const unit of units) {
      const on = this.#mappings[unit.mapping]?.on ?? [];
      for (const prefix of on.length === 0 ? everywhere : on) {
        const other = winners.get(prefix);
        if (other === undefined || this.#wins(unit, other, prefix)) winners.set(prefix, unit);
      }
    }
    const number = this.#classes.length + 1;
    const fallback: Record<Family, number> = { 4: 0, 6: 0 };
    const before = { exact: this.#exact.length, prefixes: this.#prefixes.length };
    for (const [prefix, { rule }] of winners) {
      const family = familyOf(prefix);
      const length = prefixLength(prefix);
      if (length === 0) fallback[family] = rule;
      else if (length === (family === 4 ? 32 : 128)) {
        this.#exact.push({ class: number, address: prefixAddress(prefix), rule });
      } else this.#prefixes.push({ class: number, prefix, rule });
    }
    this.#classes.push({
      protocol,
      ranges,
      fallback,
      hasExact: this.#exact.length > before.exact,
      hasPrefix: this.#prefixes.length > before.prefixes,
    });
    if (this.#exact.length + this.#prefixes.length > this.#limits.entries) {
      throw configurationError([
        {
          severity: "error",
          file: this.input.source ?? "<runtime>",
          line: 0,
          column: 0,
          path: "mappings",
          message: `the mappings need more than ${this.#limits.entries} table entries (one for each address or prefix and distinct set of ports)`,
          hint: "use fewer port sets that overlap",
        },
      ]);
    }
  }

  /** Does `unit` win against `other` for the same prefix and port? */
  #wins(unit: Unit, other: Unit, prefix: Prefix): boolean {
    const mapping = this.#mappings[unit.mapping];
    const rival = this.#mappings[other.mapping];
    if (mapping === undefined || rival === undefined || mapping === rival) return false;
    const size = countPorts(mapping.ports);
    const rivalSize = countPorts(rival.ports);
    if (size !== rivalSize) return size < rivalSize;
    const [first, second] = unit.mapping < other.mapping ? [rival, mapping] : [mapping, rival];
    const pair = `${unit.mapping} ${other.mapping}`;
    if (this.#tied.has(pair) || this.#tied.has(`${other.mapping} ${unit.mapping}`)) return false;
    this.#tied.add(pair);
    this.#problem(
      first,
      `ties with mapping ${second.name} (${placeOf(second)}): both take ${describe(unit.ports, other.ports)} on ${
        prefixLength(prefix) === 0 ? "all addresses" : prefix
      }, with port sets of the same size`,
      "make the prefix of one of them longer, or its set of ports smaller, or remove one",
    );
    return false;
  }
}

const everywhere: readonly Prefix[] = ["0.0.0.0/0" as Prefix, "::/0" as Prefix];

function describe(a: readonly PortRange[], b: readonly PortRange[]): string {
  const shared: PortRange[] = [];
  for (const x of a) {
    for (const y of b) {
      const first = Math.max(x.first, y.first);
      const last = Math.min(x.last, y.last);
      if (first <= last) shared.push({ first, last });
    }
  }
  return `port ${formatPorts(shared)}`;
}

function placeOf(mapping: Mapping): string {
  const { file, line, column } = mapping.origin;
  return line > 0 ? `${file}:${line}:${column}` : file;
}

/** What makes the rules impossible: ties, and names that meet. Empty: they compile. */
export function checkRules(rules: Rules, limits: Limits = defaultLimits): Problem[] {
  const compiler = new Compiler(rules, limits);
  compiler.compile();
  return compiler.problems;
}

/** Throws CONFIGURATION with every tie. */
export function compile(rules: Rules, limits: Limits = defaultLimits): Compiled {
  const compiler = new Compiler(rules, limits);
  const compiled = compiler.compile();
  if (compiler.problems.length > 0) throw configurationError(compiler.problems);
  return compiled;
}
