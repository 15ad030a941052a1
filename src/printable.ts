/**
 * Makes text that others chose (names of files, processes, interfaces and units, messages of other
 * programs) harmless to show. A terminal obeys control characters, and characters that reverse the
 * direction of text mislead a reader.
 */

/**
 * Matches C0, DEL and C1 (Cc), bidi controls and characters without width (Cf), U+2028 and U+2029
 * (Zl, Zp), and halves of surrogate pairs (Cs).
 */
const STEERING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const STEERING_IN_LINES = /[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** Matches the steering characters that JSON.stringify does not escape. */
const STEERING_IN_JSON = /[\u007F-\u009F\p{Cf}\p{Zl}\p{Zp}]/gu;

function codePoint(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** Returns one line of text, with `\u{1b}` in place of an escape character, and so on. */
export function printable(text: string): string {
  return text.replace(STEERING, codePoint);
}

/**
 * Returns text of several lines with steering characters made visible; keeps its newlines and tabs.
 */
export function printableLines(text: string): string {
  return text.replace(STEERING_IN_LINES, codePoint);
}

/** Returns JSON text of the same value, with steering characters as escape sequences. */
export function printableJson(json: string): string {
  return json.replace(STEERING_IN_JSON, (character) =>
    Array.from({ length: character.length }, (_, unit) => {
      return `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}
