/**
 * Mappings added at run time as a thin layer in front of tables that stay as they are: what they cost does not depend on how
 * large those are. Only what is simple is done here. Whatever is not (conditions, ties, mappings that would never match) gives null: the whole
 * is to be compiled, which does the same and tells what is wrong.
 */
import type { Family } from "../model/address.js";
import { type Mapping, type Protocol, mappingKey } from "../model/mapping.js";
import { countPorts } from "../model/ports.js";
import { tryCompile } from "./compile.js";
import {
  type Compiled,
  type PrefixBits,
  PrefixColumns,
  type PrefixTable,
  bitsAt,
} from "./tables.js";

/** A class of the tables below. */
export interface BaseClass {
  readonly number: number;
  readonly hasExact: boolean;
  readonly hasPrefix: boolean;
  readonly asks: boolean;
}

/** The tables below, without conditions. Rules are numbers; 0: none. */
export interface Base {
  /** Undefined: nothing covers the port. */
  classAt(protocol: Protocol, port: number): BaseClass | undefined;
  /** Of the very address or prefix, not of one around it. */
  at(owner: number, place: PrefixBits): number;
  fallback(owner: number, family: Family): number;
  /** How many ports the rule's mapping has. */
  ports(rule: number): number;
  /** May be true of a name that there is not, never false of one that there is. */
  hasName(key: string): boolean;
}

export interface OverlayClass {
  readonly protocol: Protocol;
  readonly ports: readonly number[];
  readonly below: BaseClass | undefined;
  /** Of both layers. */
  readonly fallback: Readonly<Record<Family, number>>;
}

export interface Overlay {
  /** The mappings added at run time alone: their rules (which are numbered from `firstRule` on, without [0]) and destinations. */
  readonly compiled: Compiled;
  /** Class n of the tables is classes[n - 1]. */
  readonly classes: readonly OverlayClass[];
  readonly exact: PrefixTable;
  readonly prefixes: PrefixTable;
}

/** More would cost as much as compiling the whole. */
export const OVERLAY_CLASSES_MAX = 4096;
export const OVERLAY_ENTRIES = 65_536;

interface Entry {
  readonly prefix: PrefixBits;
  readonly rule: number;
}

/** `firstRule`: the number that the first rule of the overlay has among those of the tables below. */
export function compileOverlay(
  runtime: readonly Mapping[],
  base: Base,
  firstRule: number,
): Overlay | null {
  if (runtime.some((mapping) => base.hasName(mappingKey(mapping)))) return null;
  const { compiled, problems } = tryCompile({
    source: null,
    file: { services: [], mappings: [] },
    runtime,
  });
  if (problems.length > 0 || compiled.steps.count > 1) return null;
  const layer = new Layer(compiled, base, firstRule);
  return layer.build();
}

class Layer {
  readonly #compiled: Compiled;
  readonly #base: Base;
  readonly #firstRule: number;
  readonly #classes: OverlayClass[] = [];
  readonly #exact = new PrefixColumns();
  readonly #prefixes = new PrefixColumns();
  /** Indexes of mappings that come first somewhere. */
  readonly #useful = new Set<number>();
  #compared = 0;

  constructor(compiled: Compiled, base: Base, firstRule: number) {
    this.#compiled = compiled;
    this.#base = base;
    this.#firstRule = firstRule;
  }

  build(): Overlay | null {
    const exact = entriesByOwner(this.#compiled.exact);
    const prefixes = entriesByOwner(this.#compiled.prefixes);
    for (const [index, { protocol, ranges, fallback }] of this.#compiled.classes.entries()) {
      const below = new Map<number, { found: BaseClass | undefined; ports: number[] }>();
      for (const { first, last } of ranges) {
        for (let port = first; port <= last; port++) {
          const found = this.#base.classAt(protocol, port);
          const group = below.get(found?.number ?? 0);
          if (group === undefined) below.set(found?.number ?? 0, { found, ports: [port] });
          else group.ports.push(port);
        }
      }
      for (const { found, ports } of below.values()) {
        const owner = this.#classes.length + 1;
        if (found?.asks === true || owner > OVERLAY_CLASSES_MAX) return null;
        const sound =
          this.#put(this.#exact, owner, exact.get(index + 1), (prefix) =>
            found?.hasExact === true ? this.#base.at(found.number, prefix) : 0,
          ) &&
          this.#put(this.#prefixes, owner, prefixes.get(index + 1), (prefix) =>
            found?.hasPrefix === true ? this.#base.at(found.number, prefix) : 0,
          );
        const four = this.#first(fallback[4], this.#fallback(found, 4));
        const six = this.#first(fallback[6], this.#fallback(found, 6));
        if (!sound || four === null || six === null) return null;
        this.#classes.push({ protocol, ports, below: found, fallback: { 4: four, 6: six } });
      }
    }
    if (this.#useful.size < this.#compiled.mappings.length) return null;
    return {
      compiled: this.#compiled,
      classes: this.#classes,
      exact: this.#exact.table(),
      prefixes: this.#prefixes.table(),
    };
  }

  #fallback(found: BaseClass | undefined, family: Family): number {
    return found === undefined ? 0 : this.#base.fallback(found.number, family);
  }

  /** Those of the entries that come first. False: there is a tie, or too much of it all. */
  #put(
    table: PrefixColumns,
    owner: number,
    entries: readonly Entry[] = [],
    below: (prefix: PrefixBits) => number,
  ): boolean {
    for (const { prefix, rule } of entries) {
      if (++this.#compared > OVERLAY_ENTRIES) return false;
      const under = below(prefix);
      const first = this.#first(rule, under);
      if (first === null) return false;
      if (first !== under) table.pushBits(owner, prefix, first);
    }
    return true;
  }

  /** Of a rule of the overlay (its own number) and one below: the one with fewer ports, as both are for the same prefix. Null: a tie. */
  #first(rule: number, below: number): number | null {
    if (rule === 0) return below;
    const index = this.#compiled.rules.mapping[rule] ?? 0;
    const mine = countPorts(this.#compiled.mappings.at(index)?.ports ?? []);
    const other = below === 0 ? Infinity : this.#base.ports(below);
    if (mine === other) return null;
    if (mine > other) return below;
    this.#useful.add(index);
    return this.#firstRule + rule - 1;
  }
}

function entriesByOwner(table: PrefixTable): Map<number, Entry[]> {
  const found = new Map<number, Entry[]>();
  for (let i = 0; i < table.count; i++) {
    const owner = table.owner[i] ?? 0;
    const entry = { prefix: bitsAt(table, i), rule: table.target[i] ?? 0 };
    const known = found.get(owner);
    if (known === undefined) found.set(owner, [entry]);
    else known.push(entry);
  }
  return found;
}
