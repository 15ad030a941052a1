/** Short ways to a configuration and to everything that is said about one. */
import { formatProblem, IlmError } from "../../../src/errors.js";
import type { Mapping } from "../../../src/model/mapping.js";
import type { RuleSet } from "../../../src/model/rules.js";
import type { Loaded } from "../../../src/config/load.js";
import { parseConfiguration } from "../../../src/config/parse.js";

export const NAME = "rules.yaml";

export function load(text: string, name = NAME): Loaded {
  return parseConfiguration([{ name, text }]);
}

export function ruleSetOf(text: string, name = NAME): RuleSet {
  return load(text, name).ruleSet;
}

/** The formatted problems of what must be refused. */
export function refusal(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof IlmError && error.code === "CONFIGURATION") {
      return error.problems.map(formatProblem);
    }
    throw error;
  }
  throw new Error("it was not refused");
}

/** The same of what is done in its own time. */
export async function refusalOf(done: Promise<unknown>): Promise<string[]> {
  const settled = await done.then(
    () => () => undefined,
    (error: unknown) => () => {
      throw error;
    },
  );
  return refusal(settled);
}

export function problemsOf(text: string, name = NAME): string[] {
  return refusal(() => load(text, name));
}

export function warningsOf(text: string): string[] {
  return load(text).warnings.map(formatProblem);
}

/** The document with these mappings, one per line from line 6 on, and three services. */
export function withMappings(...entries: readonly string[]): string {
  const services = [
    "version: 1",
    "services:",
    '  web: { address: [127.0.1.10, "fd5e:ed00::10"] }',
    "  ssh: { address: 127.0.1.22 }",
    "mappings:",
  ];
  return [...services, ...entries.map((entry) => `  - ${entry}`), ""].join("\n");
}

/** What a mapping says, without where it was written. */
export function meaning({ origin: _origin, ...rest }: Mapping): Omit<Mapping, "origin"> {
  return rest;
}
