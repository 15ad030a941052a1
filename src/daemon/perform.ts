/** Makes one change: through the daemon when there is one, else here, under the writer's lock. */
import { replaceableInForce } from "./in-force.js";
import { setTimeout as sleep } from "node:timers/promises";
import type { DataPlane } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import { beginStep } from "../progress.js";
import { acquireWriterLock, type WriterLock } from "../kernel/lock.js";
import { nothingInForce, rulesAfter, switched, type Change, type ChangeResult } from "./changes.js";
import { requestChange, requestStatus } from "./client.js";

export interface Performed extends ChangeResult {
  /** Who made the change. */
  readonly by: "daemon" | "command";
}

/** A daemon that starts has the lock a moment before its socket, and one that ends the other way round. */
const WAIT_FOR_LOCK_MS = 3_000;
const RETRY_MS = 50;
/** A daemon that is busy with a change of a million mappings answers late, but not as late as this. */
const ALIVE_TIMEOUT_MS = 10_000;

/** Throws LOCKED when another writer holds the lock and has no socket, and whatever the change itself throws. */
export async function performChange(dataPlane: DataPlane, change: Change): Promise<Performed> {
  const deadline = Date.now() + WAIT_FOR_LOCK_MS;
  for (;;) {
    const done = await handOver(dataPlane.netnsInode, change);
    if (done !== null) return { ...done, by: "daemon" };
    const lock = tryLock(dataPlane.netnsInode, Date.now() >= deadline);
    if (lock !== null) {
      try {
        return { ...changeHere(dataPlane, change), by: "command" };
      } finally {
        lock.release();
      }
    }
    await sleep(RETRY_MS);
  }
}

/** Null: no daemon listens. One that hangs is found out by a small question, before it is trusted with the long wait. */
async function handOver(netnsInode: number, change: Change): Promise<ChangeResult | null> {
  const alive = await requestStatus(netnsInode, { timeoutMs: ALIVE_TIMEOUT_MS });
  if (alive === null) return null;
  beginStep("waiting for the daemon");
  return requestChange(netnsInode, change);
}

/** Null when the lock is held and there is time left to wait for it. */
function tryLock(netnsInode: number, last: boolean): WriterLock | null {
  try {
    return acquireWriterLock(netnsInode, { waitMs: 0 });
  } catch (error) {
    if (!last && error instanceof IlmError && error.code === "LOCKED") return null;
    throw error;
  }
}

function changeHere(dataPlane: DataPlane, change: Change): ChangeResult {
  if (change.kind === "unload") {
    const changed = dataPlane.unload();
    return { ...nothingInForce, changed };
  }
  if (change.kind === "off" || change.kind === "on") {
    const off = change.kind === "off";
    const changed = dataPlane.setOff(off);
    return switched(dataPlane.inForce()?.generation ?? 0, changed, off);
  }
  // Only a whole configuration may take the place of what cannot be read.
  const before = change.kind === "apply" ? replaceableInForce(dataPlane) : dataPlane.inForce();
  const rules = rulesAfter(before?.rules ?? null, change);
  return dataPlane.apply(rules);
}
