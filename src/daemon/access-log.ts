/** Logs refused requests, at most so many in a while: whoever is refused can ask for ever. */
import type { IlmError } from "../errors.js";
import type { Logger } from "./log.js";

const LINES_MAX = 10;
const WHILE_MS = 10_000;

export class AccessLog {
  readonly #log: Logger;
  readonly #now: () => number;
  #since = -Infinity;
  #lines = 0;
  #leftOut = 0;

  constructor(log: Logger, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** Logs that `what` was refused with this error. */
  note(what: string, { code, message }: IlmError): void {
    const now = this.#now();
    if (now - this.#since >= WHILE_MS) {
      this.#since = now;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_MAX) {
      this.#leftOut += 1;
      return;
    }
    this.#lines += 1;
    const more = this.#leftOut === 0 ? "" : ` (and ${this.#leftOut} more that were not logged)`;
    this.#leftOut = 0;
    this.#log.log("warning", `refused ${what}: ${message}${more}`, { code });
  }
}
