/**
 * Sums of refusals that only grow. The kernel counts each attempt in a table, out of which a flood
 * evicts the oldest; those that nobody has read by then are not in the sums.
 */
import type { Refusal, RefusalReason } from "../model/refusal.js";

export type RefusalCounts = Readonly<Record<RefusalReason, number>>;

function keyOf({ reason, protocol, address, port, uid, gid }: Refusal): string {
  return [reason, protocol, address, port, uid, gid].join(" ");
}

export class RefusalTotals {
  readonly #totals: Record<RefusalReason, number> = {
    address: 0,
    mapped: 0,
    wildcard: 0,
    reported: 0,
    lookup: 0,
  };
  #known = new Map<string, number>();

  /** Adds what was counted since the last call, and returns the sums. */
  add(refusals: readonly Refusal[]): RefusalCounts {
    const known = this.#known;
    this.#known = new Map();
    for (const refusal of refusals) {
      const { reason, count } = refusal;
      const before = known.get(keyOf(refusal)) ?? 0;
      // Fewer than before: it was evicted meanwhile, and counts from the beginning.
      this.#totals[reason] += count >= before ? count - before : count;
      this.#known.set(keyOf(refusal), count);
    }
    return { ...this.#totals };
  }
}
