/**
 * Live decisions. The programs choose, sample and bound what a reader gets (observe/reader.ts);
 * here it is fetched every now and then, and not for each decision: to be woken for each costs the
 * host more than the decision.
 */
import { decisionLayout } from "../../abi/generated.js";
import { decode } from "../../abi/layout.js";
import {
  addCounts,
  type DecisionCounts,
  type DecisionFilter,
  nothingCounted,
} from "../../model/decision.js";
import { type LazyMappings, toLazy } from "../../model/mappings.js";
import { allMappings, noActiveRules, readRules } from "../../model/rules.js";
import { type Placed, placeOfIndex } from "../install/places.js";
import type { Registry } from "../install/registry.js";
import { countersOfPlace } from "../install/tables.js";
import type { DecisionStream, ObservedDecision } from "../types.js";
import { toDecision } from "./decisions.js";
import { type Alone, DecisionReader } from "./reader.js";

/** The parts of the active state that a watcher needs. */
export interface Watched {
  readonly registry: Registry;
  readonly description: Placed & { readonly generation: number };
}

/** Where the state comes from. */
export interface WatchSource {
  current(): Watched | undefined;
  readonly alone: Alone;
}

/** Renewal goes on even while our reader stalls; the kernel counts what it then drops. */
const RENEW_MS = 1_000;
/** How often to look, in milliseconds. A person sees no delay, and a host no cost. */
const LOOK_MS = 50;
/** The most decisions decoded at once. The others wait in the ring buffer. */
const BATCH = 1_024;
/** The ring buffer may hold decisions older than the active rules, but not by many generations. */
const GENERATIONS_KEPT = 4;

interface Seen {
  readonly placed: Placed;
  /** Null until a decision asks for them: a million mappings are read slowly. */
  mappings: LazyMappings | null;
}

/** Stands in for a generation that is no longer known. */
const unseen: Seen = {
  placed: { rules: noActiveRules, layers: null, overlaid: null },
  mappings: null,
};

/** Starts a stream of the decisions that pass the filter. Throws LIMIT when too many watch. */
export function watchDecisions(source: WatchSource, filter: DecisionFilter): DecisionStream {
  return new KernelDecisionStream(source, filter);
}

class KernelDecisionStream implements DecisionStream {
  readonly #source: WatchSource;
  readonly #filter: DecisionFilter;
  readonly #renewal: NodeJS.Timeout;
  readonly #ending = new AbortController();
  /** The number of the registry that has our seat. */
  #registry: number | undefined;
  #reader: DecisionReader | undefined;
  /** What was counted in previous registries. */
  #earlier = nothingCounted;
  /** Decisions that passed the programs while they could not tell mappings apart. */
  #unwanted = 0;
  /** Of mappings whose names are known no more: several changes in one moment. */
  #nameless = 0;
  /** What was left in the ring buffer of a previous registry. */
  readonly #left: Uint8Array[] = [];
  /** Generations seen, newest last: a decision is shown with the rules that made it. */
  readonly #seen = new Map<number, Seen>();
  #failure: Error | undefined;

  constructor(source: WatchSource, filter: DecisionFilter) {
    this.#source = source;
    this.#filter = filter;
    this.#open();
    this.#renewal = setInterval(() => {
      this.#renew();
    }, RENEW_MS).unref();
  }

  #renew(): void {
    try {
      this.#reader?.renew();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.end();
    }
  }

  counts(): DecisionCounts {
    const counted = addCounts(this.#earlier, this.#reader?.counts() ?? nothingCounted);
    return {
      ...counted,
      matched: counted.matched - this.#unwanted,
      dropped: counted.dropped + this.#nameless,
    };
  }

  /** Follows changes of the rules, also onto another registry. Returns false without rules. */
  #open(): boolean {
    const watched = this.#source.current();
    if (watched === undefined) return false;
    const { registry, description } = watched;
    const isNew = !this.#seen.has(description.generation);
    if (isNew) this.#learn(description);
    if (registry.number !== this.#registry && !this.#ending.signal.aborted) {
      const before = this.#reader;
      this.#reader = new DecisionReader(registry, this.#filter, this.#source.alone);
      this.#registry = registry.number;
      this.#choose(description);
      // Afterwards: what is decided meanwhile is in one or the other.
      if (before !== undefined) this.#keepRest(before);
    } else if (isNew) this.#choose(description);
    return true;
  }

  /** Keeps what the ring buffer in a registry that is replaced holds, and its counts. */
  #keepRest(reader: DecisionReader): void {
    reader.leave();
    reader.drain((record) => {
      this.#left.push(record.slice());
    }, Infinity);
    this.#earlier = addCounts(this.#earlier, reader.counts());
    reader.close();
  }

  #learn(description: Watched["description"]): void {
    this.#seen.set(description.generation, { placed: description, mappings: null });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > GENERATIONS_KEPT && oldest !== undefined) this.#seen.delete(oldest);
  }

  /** Tells the programs that this generation is known, and which mappings the names mean in it. */
  #choose({ generation, ...placed }: Watched["description"]): void {
    const { mappings: names } = this.#filter;
    this.#reader?.know(generation);
    if (names === null) return;
    const all = mappingsOf(this.#seen.get(generation) ?? unseen);
    const counters: number[] = [];
    for (let index = 0; index < all.length; index++) {
      if (!names.includes(all.nameAt(index))) continue;
      counters.push(...countersOfPlace(placed.layers, placeOfIndex(placed, index)));
    }
    this.#reader?.choose({ generation, counters });
  }

  async *[Symbol.asyncIterator](): AsyncIterator<readonly ObservedDecision[]> {
    const { signal } = this.#ending;
    for (;;) {
      if (!this.#open()) return;
      const batch = this.#take();
      if (batch.length > 0) yield batch;
      else if (this.#failure !== undefined) throw this.#failure;
      else if (signal.aborted) return;
      else await this.#reader?.wait(LOOK_MS);
    }
  }

  #take(): ObservedDecision[] {
    const batch: ObservedDecision[] = [];
    const clockAheadMs = Date.now() - Number(process.hrtime.bigint()) / 1e6;
    const take = (bytes: Uint8Array): void => {
      const decision = this.#decode(bytes, clockAheadMs);
      if (decision !== null) batch.push(decision);
    };
    let taken = 0;
    do {
      for (const bytes of this.#left.splice(0, BATCH)) take(bytes);
      taken = this.#reader?.drain(take, BATCH) ?? 0;
    } while (taken > 0 && batch.length === 0);
    return batch;
  }

  /**
   * Returns null when the decision is not known to be of a mapping that was asked for.
   * `clockAheadMs`: how far the clock of people is ahead of the programs'.
   */
  #decode(bytes: Uint8Array, clockAheadMs: number): ObservedDecision | null {
    const record = decode(decisionLayout, bytes);
    // It may be of rules that have become active a moment ago.
    if (!this.#seen.has(record.generation)) this.#open();
    const seen = this.#seen.get(record.generation) ?? unseen;
    const time = clockAheadMs + Number(record.timeNs) / 1e6;
    const decision = { ...toDecision(record, seen.placed), time };
    if (this.#isNamed(decision.mapping, seen)) return decision;
    if (seen === unseen) this.#nameless++;
    else this.#unwanted++;
    return null;
  }

  #isNamed(mapping: number | null, seen: Seen): boolean {
    const { mappings: names } = this.#filter;
    if (names === null) return true;
    return mapping !== null && names.includes(mappingsOf(seen).nameAt(mapping));
  }

  end(): void {
    if (this.#ending.signal.aborted) return;
    clearInterval(this.#renewal);
    this.#ending.abort();
    this.#reader?.leave();
  }

  close(): void {
    this.end();
    this.#reader?.close();
  }
}

function mappingsOf(seen: Seen): LazyMappings {
  seen.mappings ??= toLazy(allMappings(readRules(seen.placed.rules)));
  return seen.mappings;
}
