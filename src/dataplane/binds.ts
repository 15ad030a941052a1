/** Places UDP sockets of destinations as they bind. */
import { Readiness, RingBuffer } from "../kernel/ringbuf.js";
import type { Registry } from "./registry.js";

const WAIT_MS = 500;

export class BindFollower {
  #closed = false;

  /** `current` gives the registry in force; it may change with a reload. */
  constructor(current: () => Registry | undefined) {
    this.#follow(current).catch((error: unknown) => {
      // Nothing waits for this promise: let the process's own handler see it.
      process.nextTick(() => {
        throw error;
      });
    });
  }

  async #follow(current: () => Registry | undefined): Promise<void> {
    let registry: Registry | undefined;
    let ring: RingBuffer | undefined;
    let readiness: Readiness | undefined;
    try {
      while (!this.#closed) {
        const now = current();
        if (now !== registry) {
          readiness?.close();
          ring?.close();
          registry = now;
          ring = now && new RingBuffer(now.map("binds"));
          readiness = now && new Readiness([now.map("binds").fd]);
          // What bound before we looked.
          now?.scan(["udp"]);
        }
        // However many bound, one scan finds them all; those that bind during it are reported again.
        if (ring !== undefined && ring.drain(() => undefined) > 0) registry?.scan(["udp"]);
        if (readiness === undefined) await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
        else await readiness.wait(WAIT_MS);
      }
    } finally {
      readiness?.close();
      ring?.close();
    }
  }

  close(): void {
    this.#closed = true;
  }
}
