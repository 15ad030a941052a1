/**
 * Text that others chose - names of files, processes, interfaces, units, messages of other programs
 * - made harmless where it is shown. A terminal obeys control characters, and a reader is misled by
 * those that turn the direction of text round.
 */

/**
 * C0, DEL and C1 (Cc), bidi controls and what has no width (Cf), U+2028 and U+2029 (Zl, Zp), halves
 * of surrogate pairs (Cs).
 */
const STEERING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const STEERING_IN_LINES = /[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** What JSON.stringify leaves as it is. */
const STEERING_IN_JSON = /[\u007F-\u009F\p{Cf}\p{Zl}\p{Zp}]/gu;

function codePoint(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** One line of text in which `\u{1b}` stands for an escape character, and so on. */
export function printable(text: string): string {
  return text.replace(STEERING, codePoint);
}

/** Like `printable`, for text of several lines, with its tabs. */
export function printableLines(text: string): string {
  return text.replace(STEERING_IN_LINES, codePoint);
}

/** JSON text with the same value, in which every such character is an escape sequence. */
export function printableJson(json: string): string {
  return json.replace(STEERING_IN_JSON, (character) =>
    Array.from({ length: character.length }, (_, unit) => {
      return `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}
