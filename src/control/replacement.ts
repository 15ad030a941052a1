/** Keeps mappings that are given as arguments from taking the place of a whole file by mistake. */
import { IlmError } from "../errors.js";
import type { ActiveRules } from "../model/rules.js";
import { listSources } from "../model/sources.js";

/** What is active, as far as it would be replaced. */
export interface Replaced {
  /** The paths that the active rules were read from. */
  readonly sources: readonly string[];
  /** How many mappings are the file's. */
  readonly fileMappings: number;
}

/** Returns what of these rules would be replaced. Nothing is of rules that cannot be read. */
export function replacedOf(rules: ActiveRules | undefined): Replaced {
  return { sources: rules?.sources ?? [], fileMappings: rules?.file.count ?? 0 };
}

/** Throws USAGE when there are rules of a file that would be replaced. */
export function refuseReplacement({ sources, fileMappings }: Replaced): void {
  if (sources.length === 0 || fileMappings === 0) return;
  throw new IlmError(
    "USAGE",
    `these mappings would take the place of the ${fileMappings === 1 ? "mapping" : `${fileMappings} mappings`} of ${listSources(sources)}`,
    {
      remedy:
        "`ilm add MAPPING` adds them beside the file's, `-f FILE MAPPING` applies both, and `--replace` says that it is meant.",
    },
  );
}
