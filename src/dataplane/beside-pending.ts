/** A change that waits for its confirmation keeps others from being made. */
import { IlmError } from "../errors.js";
import type { PendingChange } from "../model/pending.js";

/** Throws PENDING when these rules wait for their confirmation. */
export function refuseBesidePending(generation: number, pending: PendingChange | null): void {
  if (pending === null) return;
  throw new IlmError(
    "PENDING",
    `generation ${generation} waits for its confirmation until ${pending.until}`,
    {
      remedy:
        "Keep it with `ilm confirm`, or go back with `ilm confirm --back`; then make this change.",
    },
  );
}
