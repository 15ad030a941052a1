/**
 * Keeps following the kernel's events (interfaces, UDP sockets, NAT) after the host was short of
 * something for a while.
 */
import type { DataPlane, FollowOptions } from "../dataplane/types.js";
import { errorBody } from "../api/error-body.js";
import type { Logger } from "./log.js";
import { mayPass, pauseAfter } from "./passing.js";

/** After this long without trouble, a failure is unrelated to earlier ones. */
const FORGET_MS = 120_000;

/**
 * Follows events, and starts again after failures that may pass. Throws what following throws at
 * the first attempt. A later failure that will not pass ends the process, as a bug does.
 */
export function keepFollowing(
  dataPlane: Pick<DataPlane, "follow">,
  log: Logger,
  told: Pick<FollowOptions, "onRestored" | "onRefused" | "onTurned">,
  pause: (failures: number) => number = pauseAfter,
): { close(): void } {
  let failures = 0;
  let failedAt = -Infinity;
  let timer: NodeJS.Timeout | null = null;
  let closed = false;

  function begin(): { close(): void } {
    return dataPlane.follow({
      ...told,
      onError: (error) => {
        if (!mayPass(error)) throw error;
        fail(error);
      },
    });
  }

  function fail(error: unknown): void {
    if (closed) return;
    const now = performance.now();
    failures = now - failedAt > FORGET_MS ? 1 : failures + 1;
    failedAt = now;
    const { code, message, remedy } = errorBody(error);
    const then = `Interfaces and sockets are followed again in ${pause(failures) / 1000} s.`;
    log.log("error", `${message} - ${remedy ?? ""} ${then}`, { code });
    timer = setTimeout(() => {
      try {
        following = begin();
      } catch (again) {
        if (!mayPass(again)) throw again;
        fail(again);
      }
    }, pause(failures));
  }

  let following = begin();
  return {
    close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      following.close();
    },
  };
}
