/** What was put back, and when it may be so again: somebody else who takes it away each time is not fought at full speed. */

/** What stays for so long is calm, and put back at once when it goes. The longest pause, too. */
const CALM_MS = 60_000;
const FIRST_PAUSE_MS = 1_000;

interface Entry {
  readonly at: number;
  readonly pause: number;
}

export class Restored {
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  /** `now`: milliseconds of a clock that only goes on. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Is any of these to be put back now? */
  isDue(names: readonly string[]): boolean {
    const now = this.#now();
    return names.some((name) => {
      const entry = this.#entries.get(name);
      return entry === undefined || now >= entry.at + entry.pause;
    });
  }

  /** These were put back now. */
  note(names: readonly string[]): void {
    const now = this.#now();
    for (const [name, { at }] of this.#entries) {
      if (now > at + 2 * CALM_MS) this.#entries.delete(name);
    }
    for (const name of names) {
      const before = this.#entries.get(name);
      const again = before !== undefined && now < before.at + before.pause + CALM_MS;
      const pause = again ? Math.min(CALM_MS, Math.max(FIRST_PAUSE_MS, 2 * before.pause)) : 0;
      this.#entries.set(name, { at: now, pause });
    }
  }
}
