/** Reads what `-f FILE` and the mappings given as arguments ask for. */
import { loadDesired, type Desired, type LoadOptions } from "../../control/desired.js";
import { IlmError } from "../../errors.js";

export interface SourceOptions {
  /** `-` is standard input. */
  readonly file?: string;
}

/**
 * Everything that can be found wrong without a privilege is found here. Throws USAGE or
 * CONFIGURATION.
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
