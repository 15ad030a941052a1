/** How much of a difference is shown: all, the first of each kind, or the numbers alone. */
import { parseLimit } from "../../daemon/chosen.js";
import { IlmError } from "../../errors.js";

export interface DifferencesOptions {
  /** Show how much differs, and not what. */
  readonly summary?: boolean;
  /** How much of each kind to show at most. */
  readonly limit?: string;
}

/** Returns how much of each kind is shown; 0 for the numbers alone. Throws USAGE. */
export function mostOf({ summary, limit }: DifferencesOptions): number {
  const most = limit === undefined ? Infinity : parseLimit(limit, "--limit", "differences");
  return summary === true ? 0 : most;
}

/** Throws USAGE for options that are given without `needed`, by which a difference is shown. */
export function refuseDifferences(options: DifferencesOptions, needed: string): void {
  for (const name of ["summary", "limit"] as const) {
    if (options[name] === undefined) continue;
    throw new IlmError("USAGE", `--${name}: no difference is shown without ${needed}`, {
      remedy: `Add ${needed}, or leave --${name} out.`,
    });
  }
}
