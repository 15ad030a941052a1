/**
 * What was put back, and when it may be so again: somebody else who takes it away each time is not
 * fought at full speed.
 */

import { pauseAfter } from "./passing.js";

/** What stays for so long is calm, and put back at once when it goes. */
const CALM_MS = 60_000;

interface Entry {
  readonly at: number;
  /** How often it went again since it was calm. */
  readonly again: number;
}

/** When it may be put back again, by the clock. */
function dueAt({ at, again }: Entry): number {
  return at + (again === 0 ? 0 : pauseAfter(again));
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
      return entry === undefined || now >= dueAt(entry);
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
      const isCalm = before === undefined || now >= dueAt(before) + CALM_MS;
      this.#entries.set(name, { at: now, again: isCalm ? 0 : before.again + 1 });
    }
  }
}
