/**
 * The one source of what happened: whoever notices something tells it here, and the log and the
 * readers of `GET /v1/events` hear it. Telling never waits for anybody.
 */
import type { DaemonEvent } from "../api/events.js";

export type Tell = (event: DaemonEvent) => void;

export class Events {
  readonly #hearers = new Set<Tell>();

  /** Passes an event on to all who hear. */
  readonly tell: Tell = (event) => {
    for (const hear of this.#hearers) hear(event);
  };

  /** Calls `hear` with each event from now on. Returns a function that ends this. */
  subscribe(hear: Tell): () => void {
    this.#hearers.add(hear);
    return () => {
      this.#hearers.delete(hear);
    };
  }
}
