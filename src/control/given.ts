/** The mappings that were given as arguments beside a file. */
import { formatMappingArgument } from "../config/argument.js";
import { type ActiveRules, readRules } from "../model/rules.js";

/** Returns the arguments, to be read again with the file. */
export function givenIn(rules: ActiveRules): string[] {
  return readRules(rules)
    .file.mappings.filter((mapping) => mapping.origin.file === "<argument>")
    .map((mapping) => formatMappingArgument(mapping));
}
