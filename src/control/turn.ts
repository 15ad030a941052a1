/**
 * Waits for the writer's lock. Everybody gets their turn. If one writer never lets go, those who
 * wait say so, and give up.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { IlmError } from "../errors.js";
import { acquireWriterLock, type WriterLock } from "../kernel/lock.js";
import { tellWait } from "../progress.js";

/** How long one and the same writer may keep others waiting, in seconds. */
export const WAIT_SECONDS = 30;
/** Several writers in succession may hold the lock this many times as long. */
const WRITERS_MAX = 10;
const TELL_AFTER_MS = 2_000;
/**
 * How often to ask for the lock. Newcomers ask this often, and those who have waited longer ask
 * more often, so the oldest are likely to be next.
 */
const ASK_MS = 100;
const ASK_OFTEN_MS = 20;

export interface TurnOptions<T> {
  readonly netnsInode: number;
  readonly waitSeconds?: number | undefined;
  /** Called before each attempt. Returns what makes the lock unnecessary, or null. */
  readonly instead: () => Promise<T | null>;
  /** Ends the wait with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Returns the lock, or what `instead` returned. Throws LOCKED, and whatever else the lock throws.
 */
export async function awaitTurn<T>({
  netnsInode,
  waitSeconds = WAIT_SECONDS,
  instead,
  signal,
}: TurnOptions<T>): Promise<WriterLock | T> {
  const began = performance.now();
  let holder = "";
  let heldSince = began;
  let told = false;
  for (;;) {
    const other = await instead();
    if (other !== null) return other;
    try {
      return acquireWriterLock(netnsInode, { waitMs: 0 });
    } catch (error) {
      if (!(error instanceof IlmError) || error.code !== "LOCKED") throw error;
      const now = performance.now();
      // The message names the process.
      if (error.message !== holder) heldSince = now;
      holder = error.message;
      const waitMs = waitSeconds * 1000;
      if (now - heldSince >= waitMs) throw tooLong(error, `the same one for ${waitSeconds} s`);
      if (now - began >= waitMs * WRITERS_MAX) {
        throw tooLong(error, `one after the other for ${waitSeconds * WRITERS_MAX} s`);
      }
      if (!told && now - began >= Math.min(TELL_AFTER_MS, waitMs / 2)) {
        told = true;
        tellWait(`${error.message}; waiting for at most ${waitSeconds} s`);
      }
    }
    const waited = performance.now() - began;
    const often = Math.max(ASK_OFTEN_MS, ASK_MS / (1 + waited / 1000));
    await sleep(often * (0.5 + Math.random()), undefined, signal && { signal });
  }
}

function tooLong(error: IlmError, howLong: string): IlmError {
  return new IlmError("LOCKED", `${error.message} (${howLong})`, {
    cause: error,
    remedy:
      "Wait until it is done and run the command again (`--wait TIME` waits longer), or stop it; a process that died holds no lock.",
  });
}
