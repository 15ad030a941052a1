/** Several ways to do the same, measured in turns: what else the machine does meets all of them alike. */
import { median } from "./network.js";

export interface Measured {
  /** The more the better, per second. */
  readonly value: number;
  /** CPU time of client, daemon and proxy together for one of them, in microseconds. */
  readonly cpu: number;
}

/** Medians of the rounds; ratios are medians of each round's ratio to the way that is compared with. */
export interface Compared extends Measured {
  readonly ratio: number;
  readonly cpuRatio: number;
}

/** Each round measures all, and begins with another: who comes first or after whom is no advantage. */
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

/** `base`: index of the entry that the one at `index` is compared with. */
export function compare(
  rounds: readonly (readonly Measured[])[],
  base: (index: number) => number,
): Compared[] {
  const [first = []] = rounds;
  return first.map((_, index) => {
    const each = (pick: (mine: Measured, other: Measured) => number): number =>
      median(
        rounds.map((round) => {
          const mine = round[index];
          const other = round[base(index)];
          if (mine === undefined || other === undefined) throw new Error("a round is not whole");
          return pick(mine, other);
        }),
      );
    return {
      value: each((mine) => mine.value),
      cpu: each((mine) => mine.cpu),
      ratio: each((mine, other) => mine.value / other.value),
      cpuRatio: each((mine, other) => mine.cpu / other.cpu),
    };
  });
}
