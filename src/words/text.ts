/** Words and characters. */
import { printable } from "../printable.js";

export { printable };
export { formatMoment, formatTime } from "../model/moment.js";

/** Formats a number with its noun: `1 mapping`, `3 mappings`. */
export function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}

/** Formats the first of the names: `a, b, c and 7 more`. */
export function namesShown(names: readonly string[], most = 3): string {
  const shown = names
    .slice(0, most)
    .map((name) => printable(name))
    .join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** Formats a rough age: `12 s`, `3 min`, `5 h`, `2 days`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** Indents every line. */
export function indent(text: string, by = 2): string {
  return text.replace(/^(?=.)/gm, " ".repeat(by));
}
