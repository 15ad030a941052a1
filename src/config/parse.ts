/** Parses texts in memory into a rule set, with every reader loaded: for tests and tools. */
import { joinAny, readTexts, textOf, type Loaded, type NamedText } from "./load.js";
import { noMachineId, type MachineId } from "./machine-id.js";
import { validate } from "./validate.js";
import { readYaml } from "./yaml.js";

/**
 * Parses files, which share their services. Throws CONFIGURATION with every problem. The host has
 * no machine id unless one is given.
 */
export function parseConfiguration(
  files: readonly NamedText[],
  machineId: MachineId = noMachineId,
): Loaded {
  const names = files.map(({ name }) => name);
  const texts = files.map(textOf);
  const quick = readTexts(texts, [], readYaml, true);
  return joinAny({ texts, unreadable: [], readYaml, quick, names, machineId, validate });
}
