/** How long things took, counted for a histogram of Prometheus. */

/** The upper bounds of the buckets, in seconds: a change of one mapping to one of a million. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

export interface DurationCounts {
  /** For each bound in seconds, how many took no longer. */
  readonly buckets: readonly (readonly [bound: number, count: number])[];
  readonly sum: number;
  readonly count: number;
}

export class Durations {
  readonly #counts = new Uint32Array(BOUNDS.length);
  #sum = 0;
  #count = 0;

  add(seconds: number): void {
    this.#sum += seconds;
    this.#count += 1;
    const at = BOUNDS.findIndex((bound) => seconds <= bound);
    if (at >= 0) this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** Runs `action`, and counts how long it took, also when it fails. */
  async measure<T>(action: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await action();
    } finally {
      this.add((performance.now() - begun) / 1000);
    }
  }

  read(): DurationCounts {
    let below = 0;
    const buckets = BOUNDS.map((bound, index) => {
      below += this.#counts[index] ?? 0;
      return [bound, below] as const;
    });
    return { buckets, sum: this.#sum, count: this.#count };
  }
}
