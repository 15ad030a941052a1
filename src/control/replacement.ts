/** Keeps mappings that are given as arguments from taking the place of a whole file by mistake. */
import { IlmError } from "../errors.js";

/** What is active, as far as it would be replaced. */
export interface Replaced {
  /** The path that the active rules were read from; null when there is none. */
  readonly source: string | null;
  /** How many mappings are the file's. */
  readonly fileMappings: number;
}

/** What is asked for. */
export interface Replacing {
  /** False when there are mappings as arguments only. */
  readonly hasFile: boolean;
  /** True when the user has said that it is meant. */
  readonly replace: boolean;
}

/** Throws USAGE when arguments would replace the rules of a file, and nobody has said so. */
export function refuseReplacement(
  { hasFile, replace }: Replacing,
  { source, fileMappings }: Replaced,
): void {
  if (hasFile || replace || source === null || fileMappings === 0) return;
  throw new IlmError(
    "USAGE",
    `these mappings would take the place of the ${fileMappings === 1 ? "mapping" : `${fileMappings} mappings`} of ${source}`,
    {
      remedy:
        "`ilm add MAPPING` adds them beside the file's, `-f FILE MAPPING` applies both, and `--replace` says that it is meant.",
    },
  );
}
