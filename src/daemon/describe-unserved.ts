/** A mapping without a listener, in words. */
import type { UnservedJson } from "../json/health.js";
import { formatTime, printable } from "../words/text.js";

/**
 * Describes who should listen, and when the last one ended: `unit nginx.service, ended 14:02`.
 * Whose the last listener was stands in for an owner.
 */
export function describeUnserved({ owner, ended }: Pick<UnservedJson, "owner" | "ended">): string {
  const whose = owner ?? (ended && `user ${ended.user}`);
  const end = ended === null ? "none seen yet" : `ended ${formatTime(new Date(ended.at))}`;
  return [...(whose === null ? [] : [printable(whose)]), end].join(", ");
}
