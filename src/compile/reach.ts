/**
 * Finds mappings that can never match because others take every connection first: those hidden by
 * single prefixes, or by prefixes that together fill one up. It does not check whether several
 * `from` together cover everything: it misses some warnings, but never gives a wrong one.
 */
import { familyOf, prefixLength, type Prefix } from "../model/address.js";
import type { Mapping } from "../model/mapping.js";
import type { Mappings } from "../model/mappings.js";
import { type Entry, type Unit, entriesOf, isLast } from "./entries.js";
import { Nesting } from "../rules/nesting.js";

/** The number of hiding mappings that a warning names. */
const SHOWN = 3;
/**
 * Prefixes longer than the one around them by more bits than this cannot fill it: that would take a
 * million.
 */
export const FILLING_BITS = 20;

export class Reach {
  /** For each mapping, by index, whether it is reached somewhere. */
  readonly #reached: Uint8Array;
  /** For each mapping, by index, the indexes of those that come before it. */
  readonly #hiders = new Map<number, Set<number>>();

  constructor(mappings: number) {
    this.#reached = new Uint8Array(mappings);
  }

  /** Checks the units of one class, by prefix. */
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

  /** Marks a mapping that is alone with its prefix as reached. */
  reach(index: number): void {
    this.#reached[index] = 1;
  }

  /** Checks the entries of one prefix, in their order. */
  #lookAt(entries: readonly Entry[]): void {
    const earlier = new Map<string, Unit>();
    const nesting = new Nesting(entries.flatMap(({ from }) => (from === null ? [] : [from])));
    for (const entry of entries) {
      const hider = coveredBy(entry, earlier, nesting);
      if (hider === undefined) this.#reached[entry.unit.index] = 1;
      else if (hider.index !== entry.unit.index) this.#hide(entry.unit.index, hider.index);
      const key = `${entry.from ?? ""} ${entry.interface ?? ""}`;
      // What ends hides nothing.
      if (!earlier.has(key) && entry.unit.until === undefined) earlier.set(key, entry.unit);
    }
  }

  #hide(index: number, hider: number): void {
    const known = this.#hiders.get(index);
    if (known === undefined) this.#hiders.set(index, new Set([hider]));
    else keepLowest(known, hider);
  }

  /** Yields the indexes of mappings that nothing reaches, each with those that hide it. */
  *hidden(): Generator<[number, readonly number[]]> {
    for (const [index, hiders] of this.#hiders) {
      if (this.#reached[index] === 0) yield [index, [...hiders].sort((a, b) => a - b)];
    }
  }
}

/** Keeps as many hiders as are shown, and the same ones in whatever order they come. */
function keepLowest(hiders: Set<number>, index: number): void {
  hiders.add(index);
  if (hiders.size > SHOWN) hiders.delete(Math.max(...hiders));
}

/** Returns an earlier entry that takes everything this one would. */
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

/** Reports whether whole IPv4 addresses may fill up the prefix. */
export function isFilledByHosts(prefix: Prefix): boolean {
  const length = prefixLength(prefix);
  return familyOf(prefix) === 4 && length < 32 && length >= 32 - FILLING_BITS;
}

/**
 * Returns the prefixes that longer ones fill up, with the mappings of the latter, or undefined when
 * there can be none.
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
  // Whole addresses fill something up only where some prefixes are nearly as long.
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
 * Returns the mapping that takes whatever the prefix's others leave, or undefined when some packets
 * pass.
 */
function closers(here: readonly Unit[] | Unit, prefix: Prefix): Iterable<number> | undefined {
  if ("rule" in here) return here.isUnconditional ? [here.index] : undefined;
  const last = entriesOf(here, prefix).find(isLast);
  return last === undefined ? undefined : [last.unit.index];
}

/** Describes a hidden mapping in the words of a warning. */
export function describeHidden(
  hiders: readonly number[],
  mappings: Mappings,
  placeOf: (mapping: Mapping) => string,
): string {
  const names = hiders.flatMap((index) => {
    const mapping = mappings.at(index);
    return mapping === undefined ? [] : [`${mapping.name} (${placeOf(mapping)})`];
  });
  return `can never match: every connection that it covers goes to ${names.join(", ")} first`;
}
