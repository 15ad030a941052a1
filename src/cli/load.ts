/** Reads what `-f FILE` and the mappings given as arguments ask for. */
import { loadDesired, type Desired } from "../daemon/desired.js";
import { configurationError, IlmError } from "../errors.js";
import { emptyRules } from "../model/mapping.js";
import { beginStep } from "../progress.js";
import { count } from "./render/text.js";

export interface SourceOptions {
  /** `-` is standard input. */
  readonly file?: string;
}

/** Everything that can be found wrong without a privilege is found here. Throws USAGE or CONFIGURATION. */
export async function loadWanted(
  options: SourceOptions,
  mappings: readonly string[],
): Promise<Desired> {
  if (options.file === undefined && mappings.length === 0) {
    throw new IlmError("USAGE", "neither a file nor a mapping was given", {
      remedy: "Write `-f FILE`, or a mapping such as tcp:8080=127.0.1.10:80.",
    });
  }
  const desired = await loadDesired({ path: options.file ?? null, mappings });
  const { checkRules } = await import("../compile/compile.js");
  beginStep(`compiling ${count(desired.file.mappings.length, "mapping")}`);
  const problems = checkRules({ ...emptyRules, source: desired.source, file: desired.file });
  const all = [...desired.warnings, ...problems];
  if (problems.some((problem) => problem.severity === "error")) throw configurationError(all);
  return { ...desired, warnings: all };
}
