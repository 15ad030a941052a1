/**
 * Reports the daemon's state to the service manager: again if its queue is full, and never at the
 * daemon's expense.
 */
import { printable } from "../printable.js";
import { monotonicMicroseconds, sdNotify } from "../kernel/notify.js";
import type { Logger } from "./log.js";

const AGAIN_MS = 1_000;

export class ServiceManager {
  readonly #log: Logger;
  /** Retries what could not be reported. Only the latest state counts. */
  #timer: NodeJS.Timeout | null = null;
  #complained = "";

  constructor(log: Logger) {
    this.#log = log;
  }

  ready(status: string): void {
    this.#tell(`READY=1\nSTATUS=${printable(status)}`);
  }

  reloading(): void {
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds()}`);
  }

  stopping(): void {
    this.#tell("STOPPING=1");
    this.close();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #tell(state: string): void {
    this.close();
    const trouble = sdNotify(state);
    if (trouble === null) {
      this.#complained = "";
      return;
    }
    const { reason, passing } = trouble;
    if (reason !== this.#complained) {
      const socket = process.env["NOTIFY_SOCKET"] ?? "";
      const then = passing ? "; trying again" : ", and goes without";
      this.#log.log("warning", `cannot notify the service manager on ${socket}: ${reason}${then}`);
    }
    this.#complained = reason;
    if (!passing) return;
    this.#timer = setTimeout(() => {
      this.#tell(state);
    }, AGAIN_MS);
  }
}
