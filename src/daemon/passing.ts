/**
 * Tells failures that may pass: what fails because the host is short of something may work a moment
 * later, without a change of the configuration.
 */
import { Errno } from "../kernel/errno.js";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../kernel/ffi.js";
import { errorBody, foreseen } from "../api/error-body.js";
import type { Logger } from "./log.js";

/** How many causes of causes are checked. */
const DEPTH = 5;
/** The first pause. Each is twice the previous one, up to the longest. */
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

/** Returns the pause before the next attempt, in milliseconds, after this many failures. */
export function pauseAfter(failures: number): number {
  return Math.min(FIRST_MS * 2 ** Math.max(0, failures - 1), LONGEST_MS);
}

/** Reports whether a shortage of the host is the error, or its cause. */
export function mayPass(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; depth < DEPTH && cause instanceof Error; depth += 1) {
    if (foreseen(cause)?.code === "UNAVAILABLE" || errnoOf(cause) === Errno.ENOMEM) return true;
    ({ cause } = cause);
  }
  return false;
}

/**
 * Returns the result of `attempt`, which is retried while its errors may pass. Throws other errors,
 * and when aborted.
 */
export async function untilItPasses<T>(
  attempt: () => T | Promise<T>,
  log: Logger,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted || !mayPass(error)) throw error;
      const { code, message, remedy } = errorBody(error);
      const pause = pauseAfter(failures);
      log.log("error", `${message} - ${remedy ?? ""} Tried again in ${pause / 1000} s.`, { code });
      await sleep(pause, undefined, { signal });
    }
  }
}
