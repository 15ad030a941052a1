/** What somebody has to stay for: interfaces that come and go, and, where ingress is not to be had, UDP sockets that bind. */
import { InterfaceMonitor } from "../kernel/interfaces.js";
import { Readiness, RingBuffer } from "../kernel/ringbuf.js";
import type { Registry } from "./registry.js";

const WAIT_MS = 500;

export class Follower {
  readonly #interfaces = new InterfaceMonitor();
  readonly #current: () => Registry | undefined;
  readonly #steer: () => void;
  #closed = false;
  #registry: Registry | undefined;
  #binds: RingBuffer | undefined;
  #readiness: Readiness | undefined;

  /** `current` gives the registry in force, which may change with a reload; `steer` attaches to new interfaces. */
  constructor(current: () => Registry | undefined, steer: () => void) {
    this.#current = current;
    this.#steer = steer;
    this.#follow().catch((error: unknown) => {
      // Nothing waits for this promise: let the process's own handler see it.
      process.nextTick(() => {
        throw error;
      });
    });
  }

  async #follow(): Promise<void> {
    try {
      while (!this.#closed) {
        this.#open();
        if (this.#interfaces.drain()) this.#steer();
        // However many bound, one scan finds them all; those that bind during it are reported again.
        if ((this.#binds?.drain(() => undefined) ?? 0) > 0) this.#registry?.scan(["udp"]);
        await this.#readiness?.wait(WAIT_MS);
      }
    } finally {
      this.#release();
      this.#interfaces.close();
    }
  }

  #open(): void {
    const now = this.#current();
    if (now === this.#registry && this.#readiness !== undefined) return;
    this.#release();
    this.#registry = now;
    this.#binds = now && new RingBuffer(now.map("binds"));
    const fds = now === undefined ? [] : [now.map("binds").fd];
    this.#readiness = new Readiness([this.#interfaces.fd, ...fds]);
    // What bound, or came, before we looked.
    now?.scan(["udp"]);
    this.#steer();
  }

  #release(): void {
    this.#readiness?.close();
    this.#binds?.close();
  }

  close(): void {
    this.#closed = true;
  }
}
