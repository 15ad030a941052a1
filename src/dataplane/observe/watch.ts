/**
 * Live decisions. The program reports only until a deadline that we keep moving ahead, so a killed
 * watcher costs nothing.
 */
import { Errno } from "../../kernel/errno.js";
import { closeSync } from "node:fs";
import { decisionLayout, watchLayout } from "../../abi/generated.js";
import { decode, encode } from "../../abi/layout.js";
import { IlmError } from "../../errors.js";
import { errnoOf } from "../../kernel/ffi.js";
import { LOCK_EX, LOCK_NB, flock } from "../../kernel/libc.js";
import { Readiness, RingBuffer } from "../../kernel/ringbuf.js";
import { emptyRules } from "../../model/rules.js";
import { toDecision } from "./decisions.js";
import type { Placed } from "../install/places.js";
import type { Registry } from "../install/registry.js";
import type { DecisionStream, ObservedDecision } from "../types.js";

/** The parts of the active state that a watcher needs. */
export interface Watched {
  readonly registry: Registry;
  readonly description: Placed & { readonly generation: number };
}

/** Stands in for a generation that is no longer known. */
const unseen: Placed = { rules: emptyRules, layers: null, overlaid: null };
const LEASE_NS = 3_000_000_000n;
/** Renewal goes on even while our reader stalls; the kernel counts what it then drops as lost. */
const RENEW_MS = 1_000;
const WAIT_MS = 250;
/**
 * The most decisions decoded at once. The others wait in the ring buffer, whose size is the bound.
 */
const BATCH = 1_024;
/** The ring buffer may hold decisions older than the active rules, but not by many generations. */
const GENERATIONS_KEPT = 4;
const zeroKey = new Uint8Array(4);

function setLease(registry: Registry, untilNs: bigint): void {
  const map = registry.map("watch");
  const lost = readLost(registry);
  map.update(zeroKey, encode(watchLayout, { untilNs, lost }));
}

function readLost(registry: Registry): bigint {
  const value = registry.map("watch").lookup(zeroKey);
  return value === undefined ? 0n : decode(watchLayout, value).lost;
}

/**
 * Starts a stream of decisions. There is one watcher at a time, because a ring buffer has one
 * reader: this locks and takes over `lock`, a descriptor of the registry's folder. Throws LOCKED.
 */
export function watchDecisions(lock: number, current: () => Watched | undefined): DecisionStream {
  try {
    flock(lock, LOCK_EX | LOCK_NB);
  } catch (cause) {
    closeSync(lock);
    if (errnoOf(cause) !== Errno.EWOULDBLOCK) throw cause;
    throw new IlmError("LOCKED", "another `ilm monitor` is running in this namespace", {
      cause,
      remedy: "Stop it first: only one can watch at a time",
    });
  }
  return new KernelDecisionStream(lock, current);
}

class KernelDecisionStream implements DecisionStream {
  readonly #lock: number;
  readonly #current: () => Watched | undefined;
  readonly #renewal: NodeJS.Timeout;
  #closed = false;
  #registry: Registry | undefined;
  #ring: RingBuffer | undefined;
  #readiness: Readiness | undefined;
  /** The registry's count of lost decisions when this stream opened it, and the last one read. */
  #lostBefore = 0n;
  #lostNow = 0n;
  /** The decisions lost in previous registries. */
  #lostEarlier = 0n;
  /** Generations seen, newest last: a decision is shown with the rules that made it. */
  readonly #seen = new Map<number, Placed>();

  constructor(lock: number, current: () => Watched | undefined) {
    this.#lock = lock;
    this.#current = current;
    this.#open();
    this.#renew();
    this.#renewal = setInterval(() => {
      this.#renew();
    }, RENEW_MS).unref();
  }

  get lost(): number {
    if (!this.#closed && this.#isActive()) this.#readLost();
    return Number(this.#lostEarlier + this.#lostNow - this.#lostBefore);
  }

  /**
   * Reports whether our registry is still active. Check this first: an inactive registry is closed.
   */
  #isActive(): boolean {
    return this.#registry !== undefined && this.#current()?.registry === this.#registry;
  }

  #readLost(): void {
    if (this.#registry !== undefined) this.#lostNow = readLost(this.#registry);
  }

  /** Follows changes of the rules, also onto another registry. */
  #open(): Watched | undefined {
    const watched = this.#current();
    if (watched === undefined) return undefined;
    this.#learn(watched.description);
    if (watched.registry !== this.#registry) {
      this.#release();
      this.#registry = watched.registry;
      this.#lostEarlier += this.#lostNow - this.#lostBefore;
      this.#readLost();
      this.#lostBefore = this.#lostNow;
      const map = watched.registry.map("decisions");
      this.#ring = new RingBuffer(map);
      // Skip what the previous watcher left there.
      this.#ring.skip();
      this.#readiness = new Readiness([map.fd]);
    }
    return watched;
  }

  #learn(description: Watched["description"]): void {
    this.#seen.set(description.generation, description);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > GENERATIONS_KEPT && oldest !== undefined) this.#seen.delete(oldest);
  }

  #renew(): void {
    if (this.#closed || this.#registry === undefined || !this.#isActive()) return;
    this.#readLost();
    setLease(this.#registry, process.hrtime.bigint() + LEASE_NS);
  }

  #release(): void {
    this.#readiness?.close();
    this.#ring?.close();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<ObservedDecision> {
    while (!this.#closed) {
      if (this.#open() === undefined) return;
      this.#renew();
      const batch = this.#take();
      yield* batch;
      if (batch.length === 0 && !this.#closed) await this.#readiness?.wait(WAIT_MS);
    }
  }

  #take(): ObservedDecision[] {
    const batch: ObservedDecision[] = [];
    this.#ring?.drain((bytes) => {
      const record = decode(decisionLayout, bytes);
      const agoNs = process.hrtime.bigint() - record.timeNs;
      batch.push({
        ...toDecision(record, this.#seen.get(record.generation) ?? unseen),
        time: Date.now() - Number(agoNs) / 1e6,
      });
    }, BATCH);
    return batch;
  }

  close(): void {
    if (this.#closed) return;
    clearInterval(this.#renewal);
    if (this.#registry !== undefined && this.#isActive()) {
      this.#readLost();
      setLease(this.#registry, 0n);
    }
    this.#closed = true;
    this.#release();
    closeSync(this.#lock);
  }
}
