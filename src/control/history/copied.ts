/** Tells which rules come from the copy of a configuration that was right before. */
import { IlmError } from "../../errors.js";
import { entryOf, readable, type Recorded } from "./record.js";
import { HistoryStore } from "./store.js";

/**
 * Returns when the configuration was right whose copy the active rules come from; null when they
 * come from no copy, or the history cannot be read, which `ilm history` says.
 */
export function copiedAt(dataPlane: Recorded): string | null {
  try {
    const active = readable(() => dataPlane.snapshot()) ?? null;
    if (active === null) return null;
    return HistoryStore.read(dataPlane, (store) => entryOf(store, active)?.copiedAt ?? null);
  } catch (error) {
    if (error instanceof IlmError) return null;
    throw error;
  }
}
