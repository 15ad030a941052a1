/** Parses texts in memory into a rule set, with every reader loaded: for tests and tools. */
import { joinAny, readTexts, textOf, type Loaded, type NamedText } from "./load.js";
import { validate } from "./validate.js";
import { readYaml } from "./yaml.js";

/** Parses files, which share their services. Throws CONFIGURATION with every problem. */
export function parseConfiguration(files: readonly NamedText[]): Loaded {
  const names = files.map(({ name }) => name);
  const texts = files.map(textOf);
  const quick = readTexts(texts, [], readYaml, true);
  return joinAny({ texts, unreadable: [], readYaml, quick, names, validate });
}
