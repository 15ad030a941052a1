/** Reads what `-f FILE` and the mappings given as arguments ask for. */
import { loadDesired, type Desired, type LoadOptions } from "../../control/desired.js";
import { IlmError } from "../../errors.js";

export interface SourceOptions {
  /** The path of the configuration; `-` is standard input. */
  readonly file?: string;
}

/**
 * Loads what `-f FILE` and the mappings given as arguments ask for. Finds every error that can be
 * found without privileges. Throws USAGE or CONFIGURATION.
 */
export async function loadWanted(
  { file }: SourceOptions,
  mappings: readonly string[],
  kept?: LoadOptions["kept"],
): Promise<Desired> {
  if (file === undefined && mappings.length === 0) {
    throw new IlmError("USAGE", "neither a file nor a mapping was given", {
      remedy: "Write `-f FILE`, or a mapping such as tcp:8080=127.0.1.10:80.",
    });
  }
  return loadDesired({ path: file ?? null, mappings }, { kept });
}
