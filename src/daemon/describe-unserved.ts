/** A mapping without a listener, in words. */
import type { UnservedJson } from "../json/health.js";
import { printable } from "../words/text.js";
import { describeAbsence } from "../words/absence.js";

/**
 * Describes who should listen, and since when nobody does: ` (unit nginx.service, ended 14:02)`;
 * empty when nothing is known. Whose the last listener was stands in for an owner.
 */
export function describeUnserved({
  owner,
  ...absence
}: Pick<UnservedJson, "owner" | "ended" | "neverSince">): string {
  const { ended } = absence;
  const whose = owner ?? (ended && `user ${ended.user}`);
  const known = [...(whose === null ? [] : [printable(whose)]), ...describeAbsence(absence)];
  return known.length === 0 ? "" : ` (${known.join(", ")})`;
}
