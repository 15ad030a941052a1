/**
 * What an import gives: entries of a configuration, what could not be said and why, and what is
 * left to do.
 */

/** One entry of `mappings`, as it is written. */
export type ImportedEntry = Readonly<Record<string, unknown>>;

/** A rule that mappings take over, and the command that removes it where it was. */
export interface TakenRule {
  readonly place: string;
  readonly rule: string;
  readonly remove: string;
}

/** A rule that stays where it is. */
export interface LeftRule {
  readonly place: string;
  readonly rule: string;
  readonly reason: string;
}

export interface Imported {
  readonly entries: readonly ImportedEntry[];
  /**
   * What each entry is there for: lines of a comment. Shorter than the entries: the others have
   * none.
   */
  readonly remarks: readonly (readonly string[])[];
  /** What was left out or needs somebody's decision, one line each. */
  readonly unsaid: readonly string[];
  readonly taken: readonly TakenRule[];
  readonly left: readonly LeftRule[];
  /** What to know before the entries are applied. */
  readonly notes: readonly string[];
}

/** YAML, of which each entry is one line of JSON below what it is there for. */
export function formatImported({
  entries,
  remarks,
}: Pick<Imported, "entries" | "remarks">): string {
  if (entries.length === 0) return "version: 1\nmappings: []\n";
  const lines = entries.flatMap((entry, at) => [
    ...(remarks[at] ?? []).map((remark) => `  # ${remark.replace(/\s+/g, " ")}`),
    `  - ${JSON.stringify(entry)}`,
  ]);
  return `version: 1\nmappings:\n${lines.join("\n")}\n`;
}

/** A name or number of somebody's JSON, for people. */
export function word(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "?";
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null;
}
