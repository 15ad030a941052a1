/** Bounds what requests hold while they arrive or wait for their turn. */
import { IlmError } from "../errors.js";
import { applyBodyLimit } from "../api/api.js";

/** Thrown when there are too many requests at the moment. */
export class Busy extends IlmError {
  constructor(message: string) {
    super("LIMIT", message, { remedy: "Try again when the daemon is done with them." });
  }
}

/** The maximum number of changes that wait for their turn, and of bytes they hold together. */
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
          throw new Busy(
            `the requests waiting for the daemon have reached ${BODIES_MAX} bytes together`,
          );
        }
        this.#bytes += bytes;
        held += bytes;
      },
      queue: () => {
        if (this.#queued >= REQUESTS_MAX) {
          throw new Busy(
            `${REQUESTS_MAX} requests are already waiting for the daemon, which is the limit`,
          );
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

/** One request's share of the workload. */
export interface Share {
  /** Counts bytes of the body that have arrived. Throws LIMIT. */
  take(bytes: number): void;
  /** Counts a request that has arrived in full and waits for its turn. Throws LIMIT. */
  queue(): void;
  end(): void;
}
