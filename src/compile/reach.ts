/**
 * Mappings that can never match, because others take every connection first. Found are those that
 * single prefixes hide, or prefixes that fill one up; that several `from` together cover everything
 * is not looked for: a warning less, never one too many.
 */
import { familyOf, prefixLength, type Prefix } from "../model/address.js";
import type { Mapping } from "../model/mapping.js";
import type { Mappings } from "../model/mappings.js";
import { type Entry, type Unit, entriesOf, isLast } from "./entries.js";
import { Nesting } from "../rules/nesting.js";

/** Names of hiding mappings that a warning shows. */
const SHOWN = 3;
/**
 * Prefixes that are longer than the one around them by more bits than this cannot fill it: that
 * takes a million.
 */
export const FILLING_BITS = 20;

export class Reach {
  /** By index of the mapping: it has been reached somewhere. */
  readonly #reached: Uint8Array;
  /** By index of the mapping: indexes of those that stand before it. */
  readonly #hiders = new Map<number, Set<number>>();

  constructor(mappings: number) {
    this.#reached = new Uint8Array(mappings);
  }

  /** The units of one class by prefix. */
  look(units: ReadonlyMap<Prefix, readonly Unit[] | Unit>): void {
    const covered = coveredPrefixes(units);
    for (const [prefix, here] of units) {
      const full = covered?.get(prefix);
      if (full !== undefined) {
        for (const unit of "rule" in here ? [here] : here) {
          for (const hider of full) this.#hide(unit.index, hider);
        }
      } else if ("rule" in here) {
        this.reach(here.index);
      } else {
        this.#lookAt(entriesOf(here, prefix));
      }
    }
  }

  /** A mapping that is alone with its prefix. */
  reach(index: number): void {
    this.#reached[index] = 1;
  }

  /** Entries of one prefix, in their order. */
  #lookAt(entries: readonly Entry[]): void {
    const earlier = new Map<string, Unit>();
    const nesting = new Nesting(entries.flatMap(({ from }) => (from === null ? [] : [from])));
    for (const entry of entries) {
      const hider = coveredBy(entry, earlier, nesting);
      if (hider === undefined) this.#reached[entry.unit.index] = 1;
      else if (hider.index !== entry.unit.index) this.#hide(entry.unit.index, hider.index);
      const key = `${entry.from ?? ""} ${entry.interface ?? ""}`;
      if (!earlier.has(key)) earlier.set(key, entry.unit);
    }
  }

  #hide(index: number, hider: number): void {
    const known = this.#hiders.get(index);
    if (known === undefined) this.#hiders.set(index, new Set([hider]));
    else keepLowest(known, hider);
  }

  /** Indexes of the mappings that nothing reaches, each with those that hide it. */
  *hidden(): Generator<[number, readonly number[]]> {
    for (const [index, hiders] of this.#hiders) {
      if (this.#reached[index] === 0) yield [index, [...hiders].sort((a, b) => a - b)];
    }
  }
}

/** As many as are shown, and the same ones in whatever order they come. */
function keepLowest(hiders: Set<number>, index: number): void {
  hiders.add(index);
  if (hiders.size > SHOWN) hiders.delete(Math.max(...hiders));
}

/** An earlier entry that takes everything that this one would. */
function coveredBy(
  entry: Entry,
  earlier: ReadonlyMap<string, Unit>,
  nesting: Nesting,
): Unit | undefined {
  if (earlier.size === 0) return undefined;
  for (const name of entry.interface === null ? [""] : ["", entry.interface]) {
    for (let from = entry.from; from !== null; from = nesting.around(from) ?? null) {
      const found = earlier.get(`${from} ${name}`);
      if (found !== undefined) return found;
    }
    const found = earlier.get(` ${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Whole IPv4 addresses may fill it up. */
export function isFilledByHosts(prefix: Prefix): boolean {
  const length = prefixLength(prefix);
  return familyOf(prefix) === 4 && length < 32 && length >= 32 - FILLING_BITS;
}

/**
 * Prefixes that longer ones fill up, with the mappings of those; undefined when there can be none.
 */
function coveredPrefixes(
  units: ReadonlyMap<Prefix, readonly Unit[] | Unit>,
): Map<Prefix, Set<number>> | undefined {
  const bits = (prefix: Prefix): number => (familyOf(prefix) === 4 ? 32 : 128);
  const outer = [...units.keys()].filter((prefix) => prefixLength(prefix) < bits(prefix));
  if (outer.length === 0) return undefined;
  const nearHosts = { 4: false, 6: false };
  for (const prefix of outer) {
    if (prefixLength(prefix) >= bits(prefix) - FILLING_BITS) nearHosts[familyOf(prefix)] = true;
  }
  // Whole addresses fill something up only where there are prefixes nearly as long.
  const candidates = [...units.keys()].filter(
    (prefix) => prefixLength(prefix) < bits(prefix) || nearHosts[familyOf(prefix)],
  );
  if (candidates.length < 2) return undefined;
  const nesting = new Nesting(outer);
  const filled = new Map<Prefix, number>();
  const hiders = new Map<Prefix, Set<number>>();
  const covered = new Map<Prefix, Set<number>>();
  candidates.sort((a, b) => prefixLength(b) - prefixLength(a));
  for (const prefix of candidates) {
    const here = units.get(prefix);
    if (here === undefined) continue;
    const inside = (filled.get(prefix) ?? 0) === 1 ? hiders.get(prefix) : undefined;
    if (inside !== undefined) covered.set(prefix, inside);
    const mine = inside ?? closers(here, prefix);
    const around = mine === undefined ? undefined : nesting.around(prefix);
    if (mine === undefined || around === undefined) continue;
    const longer = prefixLength(prefix) - prefixLength(around);
    if (longer > FILLING_BITS) continue;
    filled.set(around, (filled.get(around) ?? 0) + 2 ** -longer);
    const known = hiders.get(around) ?? new Set();
    for (const index of mine) keepLowest(known, index);
    hiders.set(around, known);
  }
  return covered;
}

/**
 * The mapping that takes whatever the others of the prefix pass over; undefined: some packets go
 * on.
 */
function closers(here: readonly Unit[] | Unit, prefix: Prefix): Iterable<number> | undefined {
  if ("rule" in here) return here.isUnconditional ? [here.index] : undefined;
  const last = entriesOf(here, prefix).find(isLast);
  return last === undefined ? undefined : [last.unit.index];
}

/** In the words of a warning. */
export function describeHidden(
  hiders: readonly number[],
  mappings: Mappings,
  placeOf: (mapping: Mapping) => string,
): string {
  const names = hiders.flatMap((index) => {
    const mapping = mappings.at(index);
    return mapping === undefined ? [] : [`${mapping.name} (${placeOf(mapping)})`];
  });
  return `can never match: every connection that it is for goes to ${names.join(", ")} first`;
}
