/**
 * What fails because the host is short of something may work a moment later, without anybody
 * changing the configuration.
 */
import { Errno } from "../kernel/errno.js";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../kernel/ffi.js";
import { errorBody, foreseen } from "../api/error-body.js";
import type { Logger } from "./log.js";

/** Causes of causes. */
const DEPTH = 5;
/** The first pause; each is twice the one before, up to the longest. */
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

/** The pause before the next attempt, in milliseconds, after so many that failed. */
export function pauseAfter(failures: number): number {
  return Math.min(FIRST_MS * 2 ** Math.max(0, failures - 1), LONGEST_MS);
}

/** Is the host the reason, or what the error was caused by? */
export function mayPass(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; depth < DEPTH && cause instanceof Error; depth += 1) {
    if (foreseen(cause)?.code === "UNAVAILABLE" || errnoOf(cause) === Errno.ENOMEM) return true;
    ({ cause } = cause);
  }
  return false;
}

/**
 * The result of `attempt`, which is made again and again while what it throws may pass. Throws the
 * rest, and when called off.
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
