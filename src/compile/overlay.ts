/**
 * A change of large tables as a thin layer in front of them: run-time mappings, mappings that the
 * file has gained since, and places of mappings that it has lost. The cost does not depend on the
 * size of the tables. Only simple cases are handled here. Anything else (conditions, ties, mappings
 * that would never match) returns null, and the whole is compiled, which does the same and reports
 * what is wrong.
 */
import { type Family, familyOf, prefixBits } from "../model/address.js";
import { type Mapping, type Protocol, protocols } from "../model/mapping.js";
import { countPorts } from "../model/ports.js";
import { levelOf } from "./chains.js";
import { type Around, defaultLimits, tryCompile } from "./compile.js";
import { compareRanks, prefixesOf } from "../rules/order.js";
import { masked } from "./lengths.js";
import { FILLING_BITS } from "./reach.js";
import {
  type Compiled,
  type MatchedLevel,
  type PrefixBits,
  PrefixColumns,
  type PrefixTable,
  bitsAt,
  keyOfBits,
} from "./tables.js";

/** A class of the tables below. */
export interface BaseClass {
  readonly number: number;
  readonly hasExact: boolean;
  readonly hasPrefix: boolean;
  readonly asks: boolean;
}

/** The tables below, without conditions. Rules are numbers; 0 is none. */
export interface Base {
  /** Returns the class of a port, or undefined when nothing covers the port. */
  classAt(protocol: Protocol, port: number): BaseClass | undefined;
  /** Returns the rule of exactly this address or prefix, not of one around it. */
  at(owner: number, place: PrefixBits): number;
  fallback(owner: number, family: Family): number;
  /** Returns how many ports the rule's mapping has. */
  ports(rule: number): number;
  /** Returns the index of the rule's mapping among those of the tables. */
  mapping(rule: number): number;
}

/** What lies over the tables. */
export interface Above {
  /** The file's mappings that the tables lack. Their names are unique. */
  readonly added: readonly Mapping[];
  /** The mappings of the tables that the file has lost or changed. */
  readonly removed: readonly Removed[];
  /** The run-time mappings. Their names are unique too. */
  readonly runtime: readonly Mapping[];
}

export interface Removed {
  /** The index among the tables' mappings. */
  readonly index: number;
  readonly mapping: Mapping;
}

export interface OverlayClass {
  readonly protocol: Protocol;
  readonly ports: readonly number[];
  readonly below: BaseClass | undefined;
  /** The fallback of both layers together. */
  readonly fallback: Readonly<Record<Family, number>>;
}

export interface Overlay {
  /**
   * The added and run-time mappings only: their rules, which are numbered from `firstRule` on,
   * without [0], and their destinations.
   */
  readonly compiled: Compiled;
  /** Class n of the tables is classes[n - 1]. */
  readonly classes: readonly OverlayClass[];
  /**
   * Whole addresses. A target of 0 makes the tables below look as if they had nothing for that
   * address.
   */
  readonly exact: PrefixTable;
  /**
   * Prefixes. The target is what decides for the prefix, even if it comes from a shorter one; 0 is
   * nothing.
   */
  readonly prefixes: PrefixTable;
  /** The level of the target of each entry in `prefixes`. */
  readonly levels: readonly MatchedLevel[];
}

/** The maximum number of classes; more would cost as much as compiling the whole. */
export const OVERLAY_CLASSES_MAX = 4096;
export const OVERLAY_ENTRIES = 65_536;
/** The maximum number of ports of all removed mappings together. */
const REMOVED_PORTS = 1_000_000;

interface PrefixRule {
  readonly prefix: PrefixBits;
  readonly rule: number;
}

/** Ports that are alike, above and below. */
interface Group {
  readonly protocol: Protocol;
  /** The number of the class above, or 0 for none. */
  readonly above: number;
  readonly found: BaseClass | undefined;
  readonly ports: number[];
}

/**
 * Compiles an overlay, or returns null when the whole has to be compiled. `firstRule` is the number
 * of the overlay's first rule among those of the tables below; `around` is what holds for all
 * mappings.
 */
export function compileOverlay(
  above: Above,
  base: Base,
  firstRule: number,
  around: Around,
): Overlay | null {
  const { added, removed, runtime } = above;
  const rules = { sources: [], file: { services: [], mappings: added }, runtime };
  const { compiled, problems } = tryCompile(rules, defaultLimits, around);
  if (problems.length > 0 || compiled.steps.count > 1) return null;
  const ports = removed.reduce((sum, { mapping }) => sum + countPorts(mapping.ports), 0);
  if (ports > REMOVED_PORTS) return null;
  return new Layer(compiled, base, firstRule, above).build();
}

class Layer {
  readonly #compiled: Compiled;
  readonly #base: Base;
  readonly #firstRule: number;
  readonly #above: Above;
  /** The indexes of the tables' mappings that are removed. */
  readonly #removed: ReadonlySet<number>;
  readonly #classes: OverlayClass[] = [];
  readonly #exact = new PrefixColumns();
  readonly #prefixes = new PrefixColumns();
  readonly #levels: MatchedLevel[] = [];
  /** The indexes of mappings that win somewhere. */
  readonly #useful = new Set<number>();
  #compared = 0;

  constructor(compiled: Compiled, base: Base, firstRule: number, above: Above) {
    this.#compiled = compiled;
    this.#base = base;
    this.#firstRule = firstRule;
    this.#above = above;
    this.#removed = new Set(above.removed.map(({ index }) => index));
  }

  build(): Overlay | null {
    const exact = entriesByOwner(this.#compiled.exact);
    const prefixes = entriesByOwner(this.#compiled.prefixes);
    const removedIn = new Map<number, Set<Removed>>();
    for (const group of this.#groups(removedIn)) {
      const { protocol, above, found, ports } = group;
      const owner = this.#classes.length + 1;
      if (found?.asks === true || owner > OVERLAY_CLASSES_MAX) return null;
      const { fallback } = this.#compiled.classes[above - 1] ?? nothing;
      const four = this.#fallback(fallback[4], found, 4);
      const six = this.#fallback(fallback[6], found, 6);
      if (four === null || six === null) return null;
      const both = { 4: four, 6: six };
      const sound =
        this.#put("exact", owner, exact.get(above), found) &&
        this.#put("prefix", owner, prefixes.get(above), found) &&
        this.#putRemoved(owner, found, removedIn.get(found?.number ?? 0), both);
      if (!sound) return null;
      this.#classes.push({ protocol, ports, below: found, fallback: both });
    }
    if (this.#useful.size < this.#compiled.mappings.length) return null;
    return {
      compiled: this.#compiled,
      classes: this.#classes,
      exact: this.#exact.table(),
      prefixes: this.#prefixes.table(),
      levels: this.#levels,
    };
  }

  /**
   * Groups all ports that something above concerns. Adds the removed mappings of each class below
   * to `removedIn`.
   */
  #groups(removedIn: Map<number, Set<Removed>>): Group[] {
    const groups: Group[] = [];
    for (const protocol of protocols) {
      /** For each port, the class above plus 1; 0 when nothing above concerns it. */
      const touched = new Uint32Array(65_536);
      for (const { mapping } of this.#above.removed) {
        if (mapping.protocol !== protocol) continue;
        for (const { first, last } of mapping.ports) touched.fill(1, first, last + 1);
      }
      for (const [index, { protocol: own, ranges }] of this.#compiled.classes.entries()) {
        if (own !== protocol) continue;
        for (const { first, last } of ranges) touched.fill(index + 2, first, last + 1);
      }
      const known = new Map<string, Group>();
      touched.forEach((value, port) => {
        if (value === 0) return;
        const found = this.#base.classAt(protocol, port);
        const key = `${value} ${found?.number ?? 0}`;
        const group = known.get(key);
        if (group !== undefined) {
          group.ports.push(port);
          return;
        }
        const made = { protocol, above: value - 1, found, ports: [port] };
        known.set(key, made);
        groups.push(made);
      });
    }
    for (const removed of this.#above.removed) {
      const { protocol, ports } = removed.mapping;
      for (const { first, last } of ports) {
        for (let port = first; port <= last; port++) {
          const number = this.#base.classAt(protocol, port)?.number ?? 0;
          const inClass = removedIn.get(number);
          if (inClass === undefined) removedIn.set(number, new Set([removed]));
          else inClass.add(removed);
        }
      }
    }
    return groups;
  }

  /** Returns what is left of a rule below. */
  #left(rule: number): number {
    return rule !== 0 && this.#removed.has(this.#base.mapping(rule)) ? 0 : rule;
  }

  /** Returns the fallback for a family. `rule` is that above. Returns null as `#first` does. */
  #fallback(rule: number, found: BaseClass | undefined, family: Family): number | null {
    if (found === undefined) return this.#first(rule, 0, false);
    const there = this.#base.fallback(found.number, family);
    return this.#first(rule, this.#left(there), there === 0 && found.hasPrefix);
  }

  /** Returns what the tables have at exactly this place, even of a removed mapping. */
  #at(found: BaseClass | undefined, place: PrefixBits): number {
    if (found === undefined) return 0;
    const has = place.length === WHOLE ? found.hasExact : found.hasPrefix;
    return has ? this.#base.at(found.number, place) : 0;
  }

  /**
   * Adds the entries that win. Returns false when there is a tie, when the overlay gets too large,
   * or when a mapping might end up unreachable.
   */
  #put(
    level: "exact" | "prefix",
    owner: number,
    entries: readonly PrefixRule[] = [],
    found: BaseClass | undefined,
  ): boolean {
    for (const { prefix, rule } of entries) {
      if (++this.#compared > OVERLAY_ENTRIES) return false;
      const there = this.#at(found, prefix);
      const under = this.#left(there);
      // Where there already was a mapping, adding one fills up nothing new.
      const first = this.#first(rule, under, there === 0 && this.#mayFill(found, prefix));
      if (first === null) return false;
      if (first === under) continue;
      if (level === "exact") this.#exact.pushBits(owner, prefix, first);
      else this.#pushPrefix(owner, prefix, first, "prefix");
    }
    return true;
  }

  #pushPrefix(owner: number, prefix: PrefixBits, target: number, level: MatchedLevel): void {
    this.#prefixes.pushBits(owner, prefix, target);
    this.#levels.push(level);
  }

  /** Reports whether adding a mapping here may leave another one unreachable. */
  #mayFill(found: BaseClass | undefined, prefix: PrefixBits): boolean {
    if (found === undefined) return false;
    if (prefix.length < WHOLE) return found.hasExact || found.hasPrefix;
    if (!found.hasPrefix) return false;
    for (let length = prefix.length - 1; length >= prefix.length - FILLING_BITS; length--) {
      if (this.#at(found, cut(prefix, length)) !== 0) return true;
    }
    return false;
  }

  /** Adds the places where removed mappings used to win. */
  #putRemoved(
    owner: number,
    found: BaseClass | undefined,
    removed: ReadonlySet<Removed> = new Set(),
    fallback: Readonly<Record<Family, number>>,
  ): boolean {
    if (removed.size === 0) return true;
    const mine = new Map<string, number>();
    for (const table of [this.#exact.table(), this.#prefixes.table()]) {
      for (let i = 0; i < table.count; i++) {
        if (table.owner[i] === owner) mine.set(keyOfBits(bitsAt(table, i)), table.target[i] ?? 0);
      }
    }
    for (const { index, mapping } of removed) {
      for (const prefix of prefixesOf(mapping.on)) {
        if (++this.#compared > OVERLAY_ENTRIES) return false;
        const level = levelOf(prefix);
        if (level === "default") continue;
        const { bytes: address, length } = prefixBits(prefix);
        const place = { ipv6: familyOf(prefix) === 6, address, length };
        const there = this.#at(found, place);
        const wasFirst = there !== 0 && this.#base.mapping(there) === index;
        if (!wasFirst || mine.has(keyOfBits(place))) continue;
        if (level === "exact") {
          this.#exact.pushBits(owner, place, 0);
        } else {
          const next = this.#beyond(found, place, mine);
          const rule = next === 0 ? fallback[familyOf(prefix)] : next;
          this.#pushPrefix(owner, place, rule, next === 0 ? "default" : "prefix");
        }
      }
    }
    return true;
  }

  /**
   * Returns what decides for the next shorter prefix, or 0 if nothing does. `mine` holds the
   * entries above.
   */
  #beyond(
    found: BaseClass | undefined,
    place: PrefixBits,
    mine: ReadonlyMap<string, number>,
  ): number {
    const shortest = place.ipv6 ? 1 : IPV4_BITS + 1;
    for (let length = place.length - 1; length >= shortest; length--) {
      const around = cut(place, length);
      const rule = mine.get(keyOfBits(around)) ?? this.#left(this.#at(found, around));
      if (rule !== 0) return rule;
    }
    return 0;
  }

  /**
   * Picks from a rule of the overlay (by its own number) and one below the one with fewer ports, as
   * both are for the same prefix. Returns null on a tie, and when a mapping of the file wins and
   * might leave another one unreachable (`mayFill`).
   */
  #first(rule: number, below: number, mayFill: boolean): number | null {
    if (rule === 0) return below;
    const index = this.#compiled.rules.mapping[rule] ?? 0;
    const mine = countPorts(this.#compiled.mappings.at(index)?.ports ?? []);
    const other = below === 0 ? Infinity : this.#base.ports(below);
    const order = compareRanks({ ...samePrefix, ports: mine }, { ...samePrefix, ports: other });
    if (order === 0) return null;
    if (order > 0) return below;
    const isOfFile = index < this.#above.added.length;
    if (isOfFile && (below !== 0 || mayFill)) return null;
    this.#useful.add(index);
    return this.#firstRule + rule - 1;
  }
}

/** An overlay's rules have no conditions. */
const samePrefix = { onLength: 0, fromLength: 0, interface: null };
const nothing: { readonly fallback: Readonly<Record<Family, number>> } = {
  fallback: { 4: 0, 6: 0 },
};
/** The number of bits of an address in the tables, and of those before an IPv4 address. */
const WHOLE = 128;
const IPV4_BITS = 96;

function cut({ ipv6, address }: PrefixBits, length: number): PrefixBits {
  return { ipv6, length, address: masked(address, length) };
}

function entriesByOwner(table: PrefixTable): Map<number, PrefixRule[]> {
  const found = new Map<number, PrefixRule[]>();
  for (let i = 0; i < table.count; i++) {
    const owner = table.owner[i] ?? 0;
    const entry = { prefix: bitsAt(table, i), rule: table.target[i] ?? 0 };
    const known = found.get(owner);
    if (known === undefined) found.set(owner, [entry]);
    else known.push(entry);
  }
  return found;
}
