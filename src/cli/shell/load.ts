/** Reads what `-f FILE` and the mappings given as arguments ask for. */
import { loadDesired, type Desired, type LoadOptions } from "../../control/desired.js";
import { IlmError, type Problem } from "../../errors.js";
import { emptyRules, type Rules } from "../../model/rules.js";

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
  requireSource(file, mappings);
  return loadDesired({ path: file ?? null, mappings }, { kept });
}

function requireSource(file: string | undefined, mappings: readonly string[]): void {
  if (file !== undefined || mappings.length > 0) return;
  throw new IlmError("USAGE", "neither a file nor a mapping was given", {
    remedy: "Write `-f FILE`, or a mapping such as tcp:8080=127.0.1.10:80.",
  });
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
  { file }: SourceOptions,
  mappings: readonly string[] = [],
): Promise<RulesApart> {
  requireSource(file, mappings);
  const desired = await loadDesired({ path: file ?? null, mappings }, { apart: true });
  const { source, warnings } = desired;
  return { rules: { ...emptyRules, source, file: desired.file.read() }, warnings };
}
