/**
 * Reports the daemon's state to the service manager: again if its queue is full, and never at the
 * daemon's expense. And that it is alive, where the service manager watches (WatchdogSec=).
 */
import { printable } from "../printable.js";
import { monotonicMicroseconds, sdNotify } from "../kernel/notify.js";
import type { Logger } from "./log.js";

const AGAIN_MS = 1_000;
/** Reports in the time after which a silent daemon counts as hanging. */
const SIGNS_OF_LIFE = 3;

export class ServiceManager {
  readonly #log: Logger;
  /** Retries what could not be reported. Only the latest state counts. */
  #timer: NodeJS.Timeout | null = null;
  #complained = "";
  readonly #alive: NodeJS.Timeout | null;

  constructor(log: Logger) {
    this.#log = log;
    const silence_ms = watchdogMs(process.env, process.pid);
    this.#alive =
      silence_ms === null
        ? null
        : setInterval(() => {
            // What keeps it from being told is told with the next state.
            sdNotify("WATCHDOG=1");
          }, silence_ms / SIGNS_OF_LIFE).unref();
  }

  ready(status: string): void {
    this.#tell(`READY=1\nSTATUS=${printable(status)}`);
  }

  reloading(): void {
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds()}`);
  }

  stopping(): void {
    this.#tell("STOPPING=1");
    this.#forget();
  }

  close(): void {
    this.#forget();
    if (this.#alive !== null) clearInterval(this.#alive);
  }

  #forget(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #tell(state: string): void {
    this.#forget();
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

/**
 * Returns the milliseconds after which the service manager takes a silent process for a hanging one
 * (sd_watchdog_enabled(3)); null when it does not watch this process.
 */
export function watchdogMs(env: NodeJS.ProcessEnv, pid: number): number | null {
  const { WATCHDOG_USEC: microseconds = "", WATCHDOG_PID: watched = "" } = env;
  if (!/^[1-9]\d*$/.test(microseconds)) return null;
  return watched === "" || watched === String(pid) ? Number(microseconds) / 1000 : null;
}
