/** Reads what `-f FILE` and the mappings given as arguments ask for. */
import { loadDesired, type Desired } from "../daemon/desired.js";
import { destinationsToFind, warnOfElsewhere, warnOfReserved } from "../compile/elsewhere.js";
import { warnOfEphemeralPorts } from "../compile/ephemeral.js";
import { configurationError, IlmError, type Problem } from "../errors.js";
import { ephemeralPorts } from "../kernel/procfs.js";
import { emptyRules, type Mapping, type Service } from "../model/mapping.js";
import { beginStep } from "../progress.js";
import { findAbsent } from "./host-addresses.js";
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
  const ofHost = await warnOfHost(desired.file.mappings, desired.file.services);
  const all = [...desired.warnings, ...problems, ...ofHost];
  if (problems.some((problem) => problem.severity === "error")) throw configurationError(all);
  return { ...desired, warnings: all };
}

/** What this host has to say of the mappings. Warnings. */
export async function warnOfHost(
  mappings: readonly Mapping[],
  services: readonly Service[],
): Promise<Problem[]> {
  const host = ephemeralPorts();
  const destinations = destinationsToFind(mappings, services);
  const absent = await findAbsent(destinations.map(({ address }) => address));
  return [
    ...warnOfReserved(mappings),
    ...warnOfElsewhere(destinations.filter(({ address }) => absent.has(address))),
    ...(host === undefined ? [] : warnOfEphemeralPorts(mappings, host)),
  ];
}
