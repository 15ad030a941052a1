/**
 * Calls that may not return: a file system whose server is gone, a pipe that nobody writes to. Node
 * cannot take back a call that one of its few threads is in; it can be waited for no longer.
 */

/** Calls that have not returned yet. */
let pending = 0;
/** Those among them that were given up; each holds one of node's four threads. */
let abandoned = 0;
/** Below the number of threads, so that other files can be read meanwhile. */
const ABANDONED_MAX = 2;

/** Are there threads that may not come back? Node would wait for them before it ends. */
export function hasPendingCalls(): boolean {
  return pending > 0;
}

/**
 * The result of `call`, or `late()` as the error when it has not come after `ms` milliseconds (of
 * the monotonic clock), or the reason of `signal`. While too many calls hang, none is begun.
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
