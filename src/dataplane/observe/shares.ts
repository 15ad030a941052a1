/**
 * How often each destination of a mapping was selected. The programs count all destinations but the
 * first (bpf/tables.h, shares); what is left of the mapping's own count is the first one's, once
 * what destinations got that it no longer has is taken off. Both move from one generation to the
 * next, as mappings' counters do.
 */
import type { BpfMap, PutValues } from "../../kernel/bpf/map.js";
import type { Destination } from "../../model/mapping.js";
import { type Mappings, toLazy } from "../../model/mappings.js";
import { SHARE_BYTES, type ShareTable } from "../install/shares.js";
import { LOOKED_UP, type Run, runOf, selectedIn } from "./counting.js";

/**
 * For each mapping `width` numbers: first what was selected of destinations that it no longer has,
 * or that nobody told apart, then what each of its destinations got from the second one on.
 */
export interface Shares {
  readonly width: number;
  readonly values: Float64Array;
}

/** Mappings and what each has counted: consecutive records in `countersLayout`. */
export interface Counted {
  readonly mappings: Mappings;
  readonly sums: Uint8Array;
  /** Null when an earlier version counted, which did not tell destinations apart. */
  readonly shares: Shares | null;
}

/** Returns how many numbers a mapping has. */
export function widthOf({ shares }: Pick<ShareTable, "shares">): number {
  return shares + 1;
}

/**
 * Sums the shares of the runs' mappings, of which none has more than `most` destinations. `carried`
 * holds what they had before.
 */
export function sumShares(
  runs: readonly Run[],
  carried: Pick<BpfMap, "readParts">,
  table: ShareTable,
  most: number = table.shares + 1,
): Shares {
  const width = widthOf(table);
  const values = new Float64Array(runs.reduce((sum, { count }) => sum + count, 0) * width);
  let start = 0;
  for (const run of runs) {
    const own = values.subarray(start * width, (start + run.count) * width);
    carried.readParts(run.count, run.carried, (before, bytes) => {
      addNumbers(own.subarray(before * width), 0, 1, bytes);
    });
    for (let share = 1; share < Math.min(width, most); share++) {
      table.readParts(share, run.count, run.counters, (before, bytes) => {
        addNumbers(own.subarray(before * width), share, width, bytes);
      });
    }
    start += run.count;
  }
  return { width, values };
}

/**
 * Sums the shares of the mappings with these indexes. One that no longer exists has none.
 * `destinations` returns how many destinations a mapping has.
 */
export function sharesAt(
  indexes: readonly number[],
  runs: readonly Run[],
  carried: Pick<BpfMap, "readParts">,
  table: ShareTable,
  destinations: (index: number) => number,
): Shares {
  const width = widthOf(table);
  const values = new Float64Array(indexes.length * width);
  const all = indexes.length > LOOKED_UP ? sumShares(runs, carried, table).values : null;
  indexes.forEach((index, i) => {
    const run = all === null ? runOf(runs, index) : undefined;
    if (all !== null) values.set(all.subarray(index * width, (index + 1) * width), i * width);
    if (run === undefined) return;
    values.set(sumShares([run], carried, table, destinations(index)).values, i * width);
  });
  return { width, values };
}

/** Bytes compared at once: mostly all are 0, which the C library sees immediately. */
const BLOCK = 4096;
const zeros = new Uint8Array(BLOCK);

/** Adds consecutive numbers of 64 bits to every `step`-th of `sums`, from `first` on. */
function addNumbers(sums: Float64Array, first: number, step: number, own: Uint8Array): void {
  const block = new Uint32Array(BLOCK / 4);
  const bytes = new Uint8Array(block.buffer);
  for (let start = 0; start < own.length; start += BLOCK) {
    const part = own.subarray(start, start + BLOCK);
    if (Buffer.compare(part, zeros.subarray(0, part.length)) === 0) continue;
    // A copy, made in whole numbers: programs go on counting.
    bytes.set(part);
    for (let i = 0; i < part.length / SHARE_BYTES; i++) {
      const at = first + (start / SHARE_BYTES + i) * step;
      sums[at] = (sums[at] ?? 0) + toNumber(block, 2 * i);
    }
  }
}

function toNumber(halves: Uint32Array, at: number): number {
  return (halves[at] ?? 0) + (halves[at + 1] ?? 0) * 2 ** 32;
}

/**
 * Divides what a mapping has selected among its destinations, in the order of its `to`. `row` is
 * the index of its shares. What was counted between reading these and `selected` is the first
 * one's.
 */
export function divide(
  to: readonly Destination[],
  { width, values }: Shares,
  row: number,
  selected: number,
): number[] {
  const own = values.subarray(row * width, (row + 1) * width);
  const others = to.slice(1).map((_, i) => own[i + 1] ?? 0);
  const taken = others.reduce((sum, one) => sum + one, own[0] ?? 0);
  return [Math.max(0, selected - taken), ...others];
}

/**
 * Moves shares to the mappings of the next generation, by their previous places (-1: none), with
 * `width` numbers each. A destination keeps its count where the mapping still has it.
 */
export function moveShares(
  { mappings, shares, sums }: Counted,
  after: Mappings,
  places: Int32Array,
  width: number,
): Shares {
  const [old, fresh] = [toLazy(mappings), toLazy(after)];
  const values = new Float64Array(places.length * width);
  const selected = selectedIn(sums);
  const pairs = new Pairs();
  places.forEach((place, index) => {
    const all = place < 0 ? 0 : selected(place);
    if (all === 0) return;
    const to = old.toAt(place);
    const counts = shares === null ? undivided(to, all) : divide(to, shares, place, all);
    const from = pairs.of(to, fresh.toAt(index));
    let rest = all;
    from.forEach((previous, i) => {
      const count = counts[previous] ?? 0;
      if (i > 0) values[index * width + i] = count;
      rest -= count;
    });
    values[index * width] = Math.max(0, rest);
  });
  return { width, values };
}

/** One destination got everything; of several, nobody knows. */
function undivided(to: readonly Destination[], selected: number): number[] {
  return to.length === 1 ? [selected] : [];
}

/** For each of some destinations, which of the previous ones it was; -1: none. */
class Pairs {
  readonly #known = new Map<readonly Destination[], Map<readonly Destination[], number[]>>();

  of(before: readonly Destination[], after: readonly Destination[]): readonly number[] {
    let known = this.#known.get(before);
    if (known === undefined) this.#known.set(before, (known = new Map<never, never>()));
    const found =
      known.get(after) ??
      after.map(({ address, port }) =>
        before.findIndex((one) => one.address === address && one.port === port),
      );
    known.set(after, found);
    return found;
  }
}

/** Adds a row to a mapping's record in a map. */
export function addShares(record: Uint8Array, { width, values }: Shares, row: number): void {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  for (let i = 0; i < width; i++) {
    const at = i * SHARE_BYTES;
    const sum = view.getBigUint64(at, true) + BigInt(values[row * width + i] ?? 0);
    view.setBigUint64(at, sum, true);
  }
}

/** Returns a function that writes some of the rows into a map's memory. */
export function putShares({ width, values }: Shares, first: number, count: number): PutValues {
  return ({ buffer, byteOffset, byteLength }) => {
    const into = new Uint32Array(buffer, byteOffset, byteLength / 4);
    for (let i = 0; i < count * width; i++) {
      const value = values[first * width + i] ?? 0;
      into[2 * i] = value % 2 ** 32;
      into[2 * i + 1] = Math.floor(value / 2 ** 32);
    }
  };
}
