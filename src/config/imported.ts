/**
 * The result of an import: entries of a configuration, what could not be expressed and why, and
 * what is left to do.
 */

/** One entry of `mappings` in its written form. */
export type ImportedEntry = Readonly<Record<string, unknown>>;

/** A rule that mappings replace, and the command that removes it. */
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
   * The purpose of each entry, as lines of a comment. It may be shorter than the entries; the rest
   * have none.
   */
  readonly remarks: readonly (readonly string[])[];
  /** What was left out or needs a decision, one line each. */
  readonly unsaid: readonly string[];
  readonly taken: readonly TakenRule[];
  readonly left: readonly LeftRule[];
  /** What to know before the entries are applied. */
  readonly notes: readonly string[];
}

/** Formats YAML in which each entry is one line of JSON below its remarks. */
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

/** Shows a name or number from foreign JSON to people. */
export function word(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "?";
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null;
}
