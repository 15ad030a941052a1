/** The mappings that were given as arguments beside a file. */
import { formatMappingArgument } from "../config/argument.js";
import type { Mapping } from "../model/mapping.js";
import type { Mappings } from "../model/mappings.js";
import type { ActiveRules, Rules } from "../model/rules.js";

/** Returns the arguments, to be read again with the file. */
export function givenIn({ file }: ActiveRules): string[] {
  return givenBeside({ file: file.read() });
}

/** Returns the arguments of rules that were read. */
export function givenBeside({ file: { mappings } }: Pick<Rules, "file">): string[] {
  return givenMappings(mappings).map((mapping) => formatMappingArgument(mapping));
}

/** Returns the mappings of arguments, which come after those of files. */
export function givenMappings(mappings: Mappings): Mapping[] {
  const found: Mapping[] = [];
  for (let index = mappings.length - 1; index >= 0; index--) {
    const mapping = mappings.at(index);
    if (mapping?.origin.file !== "<argument>") break;
    found.push(mapping);
  }
  return found.toReversed();
}
