/** Live decisions. The program reports only while a time that we keep moving lies ahead: a killed watcher costs nothing. */
import { closeSync } from "node:fs";
import { decisionLayout, watchLayout } from "../abi/generated.js";
import { decode, encode } from "../abi/layout.js";
import { IlmError } from "../errors.js";
import { errnoOf } from "../kernel/ffi.js";
import { LOCK_EX, LOCK_NB, flock } from "../kernel/libc.js";
import { Readiness, RingBuffer } from "../kernel/ringbuf.js";
import { emptyRules } from "../model/mapping.js";
import type { Rules } from "../model/mapping.js";
import { toDecision } from "./decisions.js";
import type { Registry } from "./registry.js";
import type { DecisionStream, ObservedDecision } from "./types.js";

/** What is in force, as far as a watcher needs it. */
export interface Watched {
  readonly registry: Registry;
  readonly description: { readonly generation: number; readonly rules: Rules };
}

const LEASE_NS = 3_000_000_000n;
const WAIT_MS = 250;
const EWOULDBLOCK = 11;
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
 * One watcher at a time, as a ring buffer has one reader: `lock`, a descriptor of the registry's folder, is locked and taken
 * over. Throws LOCKED.
 */
export function watchDecisions(lock: number, current: () => Watched | undefined): DecisionStream {
  try {
    flock(lock, LOCK_EX | LOCK_NB);
  } catch (cause) {
    closeSync(lock);
    if (errnoOf(cause) !== EWOULDBLOCK) throw cause;
    throw new IlmError("LOCKED", "another `ilm monitor` is at work in this namespace", {
      cause,
      remedy: "Stop it first: decisions are reported to one watcher",
    });
  }
  return new KernelDecisionStream(lock, current);
}

class KernelDecisionStream implements DecisionStream {
  readonly #lock: number;
  readonly #current: () => Watched | undefined;
  readonly #lostBefore: bigint;
  #closed = false;
  #registry: Registry | undefined;
  #ring: RingBuffer | undefined;
  #readiness: Readiness | undefined;
  /** Generations seen, newest last: a decision is told by the rules that made it. */
  readonly #rules = new Map<number, Rules>();

  constructor(lock: number, current: () => Watched | undefined) {
    this.#lock = lock;
    this.#current = current;
    const watched = this.#open();
    this.#lostBefore = watched === undefined ? 0n : readLost(watched.registry);
    this.#ring?.skip();
    this.#renew();
  }

  get lost(): number {
    return this.#registry === undefined ? 0 : Number(readLost(this.#registry) - this.#lostBefore);
  }

  /** Follows reloads, also onto another registry. */
  #open(): Watched | undefined {
    const watched = this.#current();
    if (watched === undefined) return undefined;
    this.#rules.set(watched.description.generation, watched.description.rules);
    if (watched.registry !== this.#registry) {
      this.#release();
      this.#registry = watched.registry;
      const map = watched.registry.map("decisions");
      this.#ring = new RingBuffer(map);
      this.#readiness = new Readiness([map.fd]);
    }
    return watched;
  }

  #renew(): void {
    if (this.#registry !== undefined) {
      setLease(this.#registry, process.hrtime.bigint() + LEASE_NS);
    }
  }

  #release(): void {
    this.#readiness?.close();
    this.#ring?.close();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<ObservedDecision> {
    while (!this.#closed) {
      if (this.#open() === undefined) return;
      this.#renew();
      const batch: ObservedDecision[] = [];
      this.#ring?.drain((bytes) => {
        const record = decode(decisionLayout, bytes);
        const agoNs = process.hrtime.bigint() - record.timeNs;
        batch.push({
          ...toDecision(record, this.#rules.get(record.generation) ?? emptyRules),
          time: Date.now() - Number(agoNs) / 1e6,
        });
      });
      yield* batch;
      if (batch.length === 0 && !this.#closed) await this.#readiness?.wait(WAIT_MS);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#registry !== undefined && this.#current() !== undefined) setLease(this.#registry, 0n);
    this.#release();
    closeSync(this.#lock);
  }
}
