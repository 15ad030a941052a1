/** What an import gives: entries of a configuration, and in words what could not be said. */

/** One entry of `mappings`, as it is written. */
export type ImportedEntry = Readonly<Record<string, unknown>>;

export interface Imported {
  readonly entries: readonly ImportedEntry[];
  /** What was left out or needs somebody's decision, one line each. */
  readonly unsaid: readonly string[];
}

/** YAML, of which each entry is one line of JSON. */
export function formatImported({ entries }: Imported): string {
  if (entries.length === 0) return "version: 1\nmappings: []\n";
  return `version: 1\nmappings:\n${entries.map((entry) => `  - ${JSON.stringify(entry)}\n`).join("")}`;
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null;
}
