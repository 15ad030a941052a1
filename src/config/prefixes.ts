/** Lists of prefixes that are settings. */
import type { Prefix } from "../model/address.js";

/** Returns them in the same order for the same prefixes, each once. */
export function settledPrefixes(written: Prefix | readonly Prefix[]): readonly Prefix[] {
  return [...new Set(typeof written === "string" ? [written] : written)].toSorted((one, other) =>
    one < other ? -1 : 1,
  );
}
