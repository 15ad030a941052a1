/**
 * Counts what is open at destinations: connections of TCP, and clients of UDP. That goes through
 * all sockets and flows, and the daemon does nothing else meanwhile, so it is done only as often as
 * takes a small share of the time, however often somebody asks.
 */
import type { DataPlane } from "../dataplane/types.js";
import type { Rules } from "../model/rules.js";
import { type Live, liveIn, liveOf } from "../rules/live.js";

/** It is not counted again within this time. */
const FRESH_MS = 1_000;
/** Nor within this many times as long as it took. */
const SHARE = 20;

/** What was open at one time. */
export interface OpenCount {
  /** How many are open at each destination, by the mapping's index. */
  readonly counts: readonly (readonly number[])[];
  /** When they were counted, in milliseconds since the epoch. */
  readonly countedAt: number;
  /** How long that took, in seconds. */
  readonly seconds: number;
}

interface Counted {
  readonly live: readonly Live[];
  readonly countedAt: number;
  /** By the monotonic clock, when it was done. */
  readonly doneAt: number;
  took_ms: number;
  /** By mapping, for the rules of a generation. */
  joined: { readonly of: string; readonly counts: OpenCount["counts"] } | null;
}

export class OpenCounts {
  readonly #now: () => number;
  #counted: Counted | null = null;

  /** `now` returns milliseconds of a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Returns what is open, as it was counted last or is now. */
  live(dataPlane: Pick<DataPlane, "connections" | "flows">): readonly Live[] {
    return this.#read(dataPlane).live;
  }

  /**
   * Returns how many are open at each destination of these rules, whose generation `generation`
   * names: mappings keep what was counted before they changed.
   */
  of(
    dataPlane: Pick<DataPlane, "connections" | "flows">,
    rules: Rules,
    generation: string,
  ): OpenCount {
    const counted = this.#read(dataPlane);
    if (counted.joined?.of !== generation) {
      const begun = this.#now();
      const indexes = Array.from(
        { length: rules.file.mappings.length + rules.runtime.length },
        (_, index) => index,
      );
      counted.joined = { of: generation, counts: liveIn(rules, indexes, counted.live) };
      counted.took_ms += this.#now() - begun;
    }
    const { countedAt, took_ms, joined } = counted;
    return { counts: joined.counts, countedAt, seconds: took_ms / 1000 };
  }

  #read(dataPlane: Pick<DataPlane, "connections" | "flows">): Counted {
    const begun = this.#now();
    const known = this.#counted;
    if (known !== null && begun - known.doneAt < Math.max(FRESH_MS, SHARE * known.took_ms)) {
      return known;
    }
    const countedAt = Date.now();
    const live = liveOf(dataPlane.connections(), dataPlane.flows());
    const doneAt = this.#now();
    const counted = { live, countedAt, doneAt, took_ms: doneAt - begun, joined: null };
    this.#counted = counted;
    return counted;
  }
}
