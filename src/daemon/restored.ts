/**
 * What was put back, and when it may be again: another program that removes it each time is not
 * fought at full speed.
 */

import { pauseAfter } from "./passing.js";

/** What stays for this long is calm, and is put back at once when it goes. */
const CALM_MS = 60_000;

interface Loss {
  readonly at: number;
  /** How often it went again since it was calm. */
  readonly again: number;
}

/** Returns when it may be put back again, by the clock. */
function dueAt({ at, again }: Loss): number {
  return at + (again === 0 ? 0 : pauseAfter(again));
}

export class Restored {
  readonly #now: () => number;
  readonly #entries = new Map<string, Loss>();

  /** `now` returns milliseconds of a monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Reports whether any of these is due to be put back now. */
  isDue(names: readonly string[]): boolean {
    const now = this.#now();
    return names.some((name) => {
      const entry = this.#entries.get(name);
      return entry === undefined || now >= dueAt(entry);
    });
  }

  /** Notes that these were put back now. */
  note(names: readonly string[]): void {
    const now = this.#now();
    for (const [name, { at }] of this.#entries) {
      if (now > at + 2 * CALM_MS) this.#entries.delete(name);
    }
    for (const name of names) {
      const before = this.#entries.get(name);
      const isCalm = before === undefined || now >= dueAt(before) + CALM_MS;
      this.#entries.set(name, { at: now, again: isCalm ? 0 : before.again + 1 });
    }
  }
}
