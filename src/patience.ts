/**
 * Waits, for a limited time, for calls that may not return: on a file system whose server is gone,
 * on a pipe that no process writes to. Node cannot cancel a call that occupies one of its few
 * threads; the caller can only stop waiting.
 */

/** The number of calls that have not returned yet. */
let pending = 0;
/**
 * The number of pending calls that no caller waits for any more; each holds one of node's four
 * threads.
 */
let abandoned = 0;
/**
 * The limit on abandoned calls. It is below the number of threads, so that other files stay
 * readable.
 */
const ABANDONED_MAX = 2;

/**
 * Reports whether calls are pending. Their threads may never return, and node waits for them to
 * exit.
 */
export function hasPendingCalls(): boolean {
  return pending > 0;
}

/**
 * Returns the result of `call`. Throws `late()` when none has come after `ms` milliseconds (of the
 * monotonic clock), or the reason of `signal` when that aborts first. While too many calls hang, it
 * throws `late()` without starting `call`.
 */
export async function withPatience<T>(
  ms: number,
  call: () => Promise<T>,
  late: () => Error,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  if (abandoned >= ABANDONED_MAX) throw late();
  return new Promise((resolve, reject) => {
    let given = false;
    const timer = setTimeout(() => {
      giveUp(late());
    }, ms);
    const onAbort = (): void => {
      giveUp(signal?.reason as Error);
    };
    function giveUp(reason: Error): void {
      if (given) return;
      given = true;
      abandoned += 1;
      reject(reason);
    }
    function settle(act: () => void): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      pending -= 1;
      if (given) abandoned -= 1;
      else act();
    }
    signal?.addEventListener("abort", onAbort);
    pending += 1;
    call().then(
      (value) => {
        settle(() => {
          resolve(value);
        });
      },
      (error: unknown) => {
        settle(() => {
          reject(error);
        });
      },
    );
  });
}
