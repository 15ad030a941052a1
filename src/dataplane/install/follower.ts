/**
 * What needs a running process: interfaces that come and go, UDP sockets that sk_lookup has to
 * find, and NAT, whose appearance makes that necessary.
 */
import { type BpfProgram } from "../../kernel/bpf/program.js";
import { runIterator } from "../../kernel/bpf/iterator.js";
import { watchInterfaces } from "../../kernel/interfaces.js";
import { watchNftables } from "../../kernel/netlink.js";
import { Readiness, RingBuffer } from "../../kernel/ringbuf.js";
import type { Turn } from "../../model/listener.js";
import type { RefusedAttempt } from "../../model/refusal.js";
import { decodeRefused } from "../observe/refusals.js";
import { decodeTurn } from "../observe/turns.js";
import type { Registry } from "./registry.js";

/** The most refusals told in one go. The kernel tells one attempt once in some seconds. */
const REFUSALS_AT_ONCE = 100;

/** The most listeners told in one go. */
const TURNS_AT_ONCE = 1000;

/** What the kernel side tells as it happens. */
interface Told {
  readonly refused: (attempt: RefusedAttempt) => void;
  readonly turned: (turn: Turn) => void;
}

/** Also bounds how late we notice NAT that is not announced (iptables-legacy). */
const WAIT_MS = 500;

export class Follower {
  readonly #interfaces = watchInterfaces();
  readonly #rules = watchNftables();
  readonly #current: () => Registry | undefined;
  readonly #steer: () => void;
  readonly #told: Told;
  #closed = false;
  #registry: Registry | undefined;
  #nat = "";
  #binds: RingBuffer | undefined;
  #refused: RingBuffer | undefined;
  #turns: RingBuffer | undefined;
  /** Our own descriptor, as another change may close the registry's. */
  #scan: BpfProgram | undefined;
  #readiness: Readiness | undefined;

  /**
   * `current` returns the active registry, which may change with a reload; `steer` attaches to new
   * interfaces; `told` is called with what was refused, and with destinations that have their first
   * listener or none; `onError` with what ended following.
   */
  constructor(
    current: () => Registry | undefined,
    steer: () => void,
    told: Told,
    onError: (error: unknown) => void = (error) => {
      throw error;
    },
  ) {
    this.#current = current;
    this.#steer = steer;
    this.#told = told;
    this.#follow().catch((error: unknown) => {
      // Nothing awaits this promise: let the process's own handler see the error.
      process.nextTick(() => {
        onError(error);
      });
    });
  }

  async #follow(): Promise<void> {
    try {
      while (!this.#closed) {
        this.#open();
        if (this.#interfaces.drain()) this.#steer();
        this.#rules?.drain();
        if (this.#meetNat()) this.#registry?.scan(["udp"]);
        await this.#readiness?.wait(WAIT_MS);
        this.#meetBinds();
        this.#refused?.drain((record) => {
          this.#told.refused(decodeRefused(record));
        }, REFUSALS_AT_ONCE);
        this.#turns?.drain((record) => {
          this.#told.turned(decodeTurn(record));
        }, TURNS_AT_ONCE);
      }
    } finally {
      this.#release();
      this.#rules?.close();
      this.#interfaces.close();
    }
  }

  /**
   * Places the sockets that bound. This comes first, as a daemon waits for it. One scan finds any
   * number of them, and those that bind during it are reported again.
   */
  #meetBinds(): void {
    if (this.#scan === undefined || this.#binds === undefined) return;
    while (this.#binds.drain(() => undefined) > 0) runIterator(this.#scan);
  }

  /** Reports whether NAT appeared or went since the last call. */
  #meetNat(): boolean {
    const nat = this.#registry?.nat().join() ?? "";
    const changed = nat !== this.#nat;
    this.#nat = nat;
    return changed;
  }

  #open(): void {
    const now = this.#current();
    if (now === this.#registry && this.#readiness !== undefined) return;
    this.#release();
    this.#registry = now;
    this.#binds = now && new RingBuffer(now.map("binds"));
    this.#refused = now && new RingBuffer(now.map("refused"));
    this.#turns = now && new RingBuffer(now.map("turns"));
    // What was before is seen in the kernel's tables.
    this.#turns?.skip();
    this.#scan = now?.program("scan_udp").duplicate();
    const rings = (["binds", "refused", "turns"] as const).map((name) => now?.map(name).fd);
    const fds = [...rings, this.#rules?.fd].filter((fd) => fd !== undefined);
    this.#readiness = new Readiness([this.#interfaces.fd, ...fds]);
    // Look for what bound, or appeared, before we started watching.
    now?.scan(["udp"]);
    this.#steer();
  }

  #release(): void {
    this.#readiness?.close();
    this.#binds?.close();
    this.#refused?.close();
    this.#turns?.close();
    this.#scan?.close();
  }

  close(): void {
    this.#closed = true;
  }
}
