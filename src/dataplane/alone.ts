/**
 * One process at a time, for moments. There is one place for a question and its answer, and seats
 * of readers are taken and given back one after the other.
 */
import { closeSync } from "node:fs";
import { flock, LOCK_EX } from "../kernel/libc.js";
import { Pins } from "../kernel/pins.js";
import type { State } from "./install/state.js";

/** Runs an action while no other process is in one. Without pins there are no others. */
export function alone<T>({ netnsInode }: Pick<State, "netnsInode">, action: () => T): T {
  const pins = Pins.open(netnsInode);
  if (pins === undefined) return action();
  const lock = pins.base.openSelf();
  pins.close();
  try {
    flock(lock, LOCK_EX);
    return action();
  } finally {
    closeSync(lock);
  }
}
