/**
 * Gives memory back after large changes. V8 collects garbage when it needs room, and an idle daemon
 * needs none: what a large change left would stay for days. So the daemon checks after its changes
 * and at each resynchronisation, and gives back what it has grown by.
 */
import { nodeErrno } from "../errors.js";

/** Growth up to the larger of the two is not worth the time. */
const SLACK_BYTES = 16 * 1024 * 1024;
const SLACK_SHARE = 1 / 8;
/** Changes in quick succession share one check. */
const LOOK_AFTER_MS = 1_000;

export interface MemoryOptions {
  /** Returns the resident size of the process in bytes. */
  readonly resident: () => number;
  /** Collects garbage, and gives back what is free. */
  readonly giveBack: () => void;
  /** Gives back what is free. */
  readonly trim: () => void;
}

export class MemoryWatch {
  readonly #options: MemoryOptions;
  #least: number;
  #isLarge = false;
  /** True from a collection on until a check finds no less than the one before. */
  #isFreeing = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: MemoryOptions) {
    this.#options = options;
    this.#least = options.resident();
  }

  /**
   * Schedules a check after work that may have taken memory. `isLarge` says that the work released
   * much, so there may now be less than before.
   */
  worked(isLarge = false): void {
    this.#isLarge ||= isLarge;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#look();
    }, LOOK_AFTER_MS).unref();
  }

  #look(): void {
    const { giveBack, trim } = this.#options;
    // V8 frees what large arrays had on another thread, after the collection.
    if (this.#isFreeing) trim();
    const now = this.#resident();
    // The next work comes.
    if (now === null) return;
    if (this.#isFreeing) {
      this.#isFreeing = this.#least - now >= SLACK_BYTES;
      if (this.#isFreeing) this.worked();
    }
    this.#least = Math.min(this.#least, now);
    const isWorthIt = now - this.#least >= Math.max(SLACK_BYTES, this.#least * SLACK_SHARE);
    if (!isWorthIt && !this.#isLarge) return;
    this.#isLarge = false;
    giveBack();
    this.#isFreeing = true;
    this.#least = this.#resident() ?? now;
    // How much remains is known later.
    this.worked();
  }

  /** Returns null when this cannot be read now: that takes a descriptor. */
  #resident(): number | null {
    try {
      return this.#options.resident();
    } catch (error) {
      if (nodeErrno(error) === undefined) throw error;
      return null;
    }
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
