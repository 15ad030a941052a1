/** What the requests hold that are arriving, or wait for their turn. */
import { IlmError } from "../errors.js";
import { applyBodyLimit } from "../api/api.js";

/** There is too much at once; it will pass. */
export class Busy extends IlmError {
  constructor(message: string) {
    super("LIMIT", message, { remedy: "Try again when the daemon is done with them." });
  }
}

/**
 * Changes that wait for their turn hold what they ask for in memory: so many, and of so many bytes
 * together.
 */
const REQUESTS_MAX = 64;
const BODIES_MAX = applyBodyLimit;

export class Workload {
  #queued = 0;
  #bytes = 0;

  begin(): Share {
    let queued = 0;
    let held = 0;
    return {
      take: (bytes) => {
        if (this.#bytes + bytes > BODIES_MAX) {
          throw new Busy(`the requests that wait for the daemon have ${BODIES_MAX} bytes together`);
        }
        this.#bytes += bytes;
        held += bytes;
      },
      queue: () => {
        if (this.#queued >= REQUESTS_MAX) {
          throw new Busy(`${REQUESTS_MAX} requests wait for the daemon already, and no more may`);
        }
        this.#queued += 1;
        queued = 1;
      },
      end: () => {
        this.#queued -= queued;
        this.#bytes -= held;
      },
    };
  }
}

/** What one request has of it. */
export interface Share {
  /** So many bytes of its body have come. Throws LIMIT. */
  take(bytes: number): void;
  /** It has arrived, and waits for its turn. Throws LIMIT. */
  queue(): void;
  end(): void;
}
