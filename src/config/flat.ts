/**
 * Reads a line that is a JSON object of texts and numbers, like most lines of NDJSON, in one pass.
 * That takes a third of the time of JSON.parse and a check of what it lost.
 */

type Flat = Record<string, string | number>;

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
/** The maximum number of decimal digits: enough for a port, and more. */
const MAX_DIGITS = 9;

/** Skips spaces, tabs and carriage returns. */
function skip(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x09 && code !== 0x0d) return at;
    at++;
  }
}

/**
 * Returns where the text in double quotes ends that begins at `from`, or -1 if it has an escape or
 * is invalid.
 */
function endOfText(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH || code < 0x20) return -1;
  }
  return -1;
}

/**
 * Returns the object on the line that begins at `start`. Returns null when it is something else, or
 * not plain, or repeats a key.
 */
export function readFlat(text: string, start: number): Flat | null {
  const flat: Flat = {};
  let at = skip(text, start);
  if (text.charCodeAt(at) !== OPEN) return null;
  at = skip(text, at + 1);
  for (;;) {
    if (text.charCodeAt(at) !== QUOTE) return null;
    const keyEnd = endOfText(text, at);
    if (keyEnd < 0) return null;
    const key = text.slice(at + 1, keyEnd);
    // This includes what every object has, such as __proto__.
    if (key in flat) return null;
    at = skip(text, keyEnd + 1);
    if (text.charCodeAt(at) !== COLON) return null;
    at = skip(text, at + 1);
    if (text.charCodeAt(at) === QUOTE) {
      const end = endOfText(text, at);
      if (end < 0) return null;
      flat[key] = text.slice(at + 1, end);
      at = end + 1;
    } else {
      const first = at;
      let value = 0;
      for (;;) {
        const digit = text.charCodeAt(at) - 0x30;
        if (!(digit >= 0 && digit <= 9)) break;
        value = value * 10 + digit;
        at++;
      }
      const digits = at - first;
      if (digits === 0 || digits > MAX_DIGITS) return null;
      if (digits > 1 && text.charCodeAt(first) === 0x30) return null;
      flat[key] = value;
    }
    at = skip(text, at);
    const code = text.charCodeAt(at);
    if (code === CLOSE) break;
    if (code !== COMMA) return null;
    at = skip(text, at + 1);
  }
  at = skip(text, at + 1);
  return at >= text.length || text.charCodeAt(at) === NEWLINE ? flat : null;
}
