/** Reads what `-f FILE` and the mappings given as arguments ask for. */
import { loadDesired, type Desired, type LoadOptions } from "../../control/desired.js";
import { IlmError, type Problem } from "../../errors.js";
import { emptyRules, type Rules } from "../../model/rules.js";

export interface SourceOptions {
  /** The paths of the configuration, in their order; `-` is standard input. */
  readonly file?: readonly string[];
}

/**
 * Loads what `-f FILE` and the mappings given as arguments ask for. Finds every error that can be
 * found without privileges. Throws USAGE or CONFIGURATION.
 */
export async function loadWanted(
  { file: paths = [] }: SourceOptions,
  mappings: readonly string[],
  kept?: LoadOptions["kept"],
): Promise<Desired> {
  requireSource(paths, mappings);
  return loadDesired({ paths, mappings }, { kept });
}

function requireSource(paths: readonly string[], mappings: readonly string[]): void {
  if (paths.length === 0 && mappings.length === 0) {
    throw new IlmError("USAGE", "neither a file nor a mapping was given", {
      remedy: "Write `-f FILE`, or a mapping such as tcp:8080=127.0.1.10:80.",
    });
  }
  if (paths.filter((path) => path === "-").length > 1) {
    throw new IlmError("USAGE", "`-f -` is given twice, and standard input can be read only once", {
      remedy: "Give it once, beside other files.",
    });
  }
}

/** Rules that are active nowhere, as far as is known. */
export interface RulesApart {
  readonly rules: Rules;
  /** What is doubtful about them, on any host. */
  readonly warnings: readonly Problem[];
}

/**
 * Loads rules without a look at this host: not at what is active, and not at its addresses. Needs
 * neither privileges nor BPF. Throws USAGE or CONFIGURATION.
 */
export async function loadApart(
  { file: paths = [] }: SourceOptions,
  mappings: readonly string[] = [],
): Promise<RulesApart> {
  requireSource(paths, mappings);
  const desired = await loadDesired({ paths, mappings }, { apart: true });
  const { sources, warnings } = desired;
  return { rules: { ...emptyRules, sources, file: desired.file.read() }, warnings };
}
