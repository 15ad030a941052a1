/**
 * Several ways to do the same, measured in turns: what else the machine does meets all of them
 * alike.
 */
import { median } from "./network.js";

export interface Measured {
  /** The more the better, per second. */
  readonly value: number;
  /** CPU time of client, daemon and proxy together for one of them, in microseconds. */
  readonly cpu: number;
}

/**
 * Medians of the rounds; ratios are medians of each round's ratio to the way that is compared with.
 */
export interface Compared extends Measured {
  readonly ratio: number;
  /** The 95 % interval of that median: the paired ratios of the rounds, by their ranks. */
  readonly interval: readonly [number, number];
  readonly cpuRatio: number;
}

/**
 * Each round measures all, and begins with another: who comes first or after whom is no advantage.
 */
export function takeTurns<Entry, Result>(
  rounds: number,
  entries: readonly Entry[],
  measure: (entry: Entry) => Result,
): Result[][] {
  return Array.from({ length: rounds }, (_, round) => {
    const first = round % entries.length;
    const rotated = [...entries.slice(first), ...entries.slice(0, first)].map(measure);
    return [...rotated.slice(entries.length - first), ...rotated.slice(0, entries.length - first)];
  });
}

/**
 * A distribution-free interval of the median: of n values, those around the middle by 1.96 times
 * half the root of n (normal approximation of the binomial of how many lie below it).
 */
export function medianInterval(values: readonly number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const reach = 0.98 * Math.sqrt(sorted.length);
  const low = Math.max(0, Math.floor(sorted.length / 2 - reach));
  const high = Math.min(sorted.length - 1, Math.ceil(sorted.length / 2 + reach) - 1);
  return [sorted[low] ?? Number.NaN, sorted[high] ?? Number.NaN];
}

/** `base`: index of the entry that the one at `index` is compared with. */
export function compare(
  rounds: readonly (readonly Measured[])[],
  base: (index: number) => number,
): Compared[] {
  const [first = []] = rounds;
  return first.map((_, index) => {
    const all = (pick: (mine: Measured, other: Measured) => number): number[] =>
      rounds.map((round) => {
        const mine = round[index];
        const other = round[base(index)];
        if (mine === undefined || other === undefined) throw new Error("a round is not whole");
        return pick(mine, other);
      });
    const each = (pick: (mine: Measured, other: Measured) => number): number => median(all(pick));
    return {
      interval: medianInterval(all((mine, other) => mine.value / other.value)),
      value: each((mine) => mine.value),
      cpu: each((mine) => mine.cpu),
      ratio: each((mine, other) => mine.value / other.value),
      cpuRatio: each((mine, other) => mine.cpu / other.cpu),
    };
  });
}
