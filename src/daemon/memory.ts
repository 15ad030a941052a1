/**
 * V8 collects garbage when it needs room, and a daemon at rest needs none: what a large change left
 * would stay for days. So the daemon looks after its changes, and at each resynchronisation, and
 * gives back what it has grown by.
 */

/** Growth that is not worth the time: the larger of the two. */
const SLACK_BYTES = 16 * 1024 * 1024;
const SLACK_SHARE = 1 / 8;
/** Changes that come one after the other are looked at together. */
const LOOK_AFTER_MS = 1_000;

export interface MemoryOptions {
  /** Bytes that the process has in memory. */
  readonly resident: () => number;
  readonly giveBack: () => void;
}

export class MemoryWatch {
  readonly #options: MemoryOptions;
  #least: number;
  #isLarge = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: MemoryOptions) {
    this.#options = options;
    this.#least = options.resident();
  }

  /**
   * Something was done that may have taken memory. `isLarge`: it has let much go, so that there may
   * be less than before.
   */
  worked(isLarge = false): void {
    this.#isLarge ||= isLarge;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#look();
    }, LOOK_AFTER_MS).unref();
  }

  #look(): void {
    const { resident, giveBack } = this.#options;
    const now = resident();
    this.#least = Math.min(this.#least, now);
    const isWorthIt = now - this.#least >= Math.max(SLACK_BYTES, this.#least * SLACK_SHARE);
    if (!isWorthIt && !this.#isLarge) return;
    this.#isLarge = false;
    giveBack();
    this.#least = resident();
    // V8 gives pages back on a thread of its own: how much there is left is seen later.
    this.worked();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
