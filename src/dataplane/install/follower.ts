/**
 * What somebody has to stay for: interfaces that come and go, UDP sockets that sk_lookup is to
 * have, and NAT that comes and makes it so.
 */
import { type BpfProgram } from "../../kernel/bpf/program.js";
import { runIterator } from "../../kernel/bpf/iterator.js";
import { watchInterfaces } from "../../kernel/interfaces.js";
import { watchNftables } from "../../kernel/netlink.js";
import { Readiness, RingBuffer } from "../../kernel/ringbuf.js";
import type { Registry } from "./registry.js";

/** Also how soon NAT is seen that sends no word (iptables-legacy). */
const WAIT_MS = 500;

export class Follower {
  readonly #interfaces = watchInterfaces();
  readonly #rules = watchNftables();
  readonly #current: () => Registry | undefined;
  readonly #steer: () => void;
  #closed = false;
  #registry: Registry | undefined;
  #nat = "";
  #binds: RingBuffer | undefined;
  /** Of its own, as another change may close the registry's. */
  #scan: BpfProgram | undefined;
  #readiness: Readiness | undefined;

  /**
   * `current` gives the registry in force, which may change with a reload; `steer` attaches to new
   * interfaces; `onError` is told why following ended.
   */
  constructor(
    current: () => Registry | undefined,
    steer: () => void,
    onError: (error: unknown) => void = (error) => {
      throw error;
    },
  ) {
    this.#current = current;
    this.#steer = steer;
    this.#follow().catch((error: unknown) => {
      // Nothing waits for this promise: let the process's own handler see it.
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
      }
    } finally {
      this.#release();
      this.#rules?.close();
      this.#interfaces.close();
    }
  }

  /**
   * First of all: a daemon waits for it. However many bound, one scan finds them all; those that
   * bind during it are reported again.
   */
  #meetBinds(): void {
    if (this.#scan === undefined || this.#binds === undefined) return;
    while (this.#binds.drain(() => undefined) > 0) runIterator(this.#scan);
  }

  /** Is there NAT where there was none? */
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
    this.#scan = now?.program("scan_udp").duplicate();
    const fds = [now?.map("binds").fd, this.#rules?.fd].filter((fd) => fd !== undefined);
    this.#readiness = new Readiness([this.#interfaces.fd, ...fds]);
    // What bound, or came, before we looked.
    now?.scan(["udp"]);
    this.#steer();
  }

  #release(): void {
    this.#readiness?.close();
    this.#binds?.close();
    this.#scan?.close();
  }

  close(): void {
    this.#closed = true;
  }
}
