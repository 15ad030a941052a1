/**
 * A document after reading: plain values, and the place of each of them for messages and origins.
 */

/** 1-based; 0 for the file as a whole. Columns count UTF-16 code units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export const wholeFile: Place = { line: 0, column: 0 };

export type Path = readonly (string | number)[];

export interface Source {
  /** File name as given. */
  readonly name: string;
  /** null, booleans, numbers, strings, arrays and plain objects. */
  readonly value: unknown;
  /** What stands at the path. */
  valueAt(path: Path): unknown;
  /**
   * Where the value at the path stands, or its key; what is not there is at what should have held
   * it.
   */
  place(path: Path, of?: "key" | "value"): Place;
}

/** What stands at the path inside the value. */
export function valueIn(value: unknown, path: Path): unknown {
  let found = value;
  for (const step of path) found = (found as Record<string | number, unknown>)[step];
  return found;
}

/** What a reader finds wrong with the text itself, before anything is known of its meaning. */
export interface TextProblem {
  /** UTF-16 code units from the start of the text. */
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

/** `mappings[2].on[0]`; keys that would be misread are quoted. */
export function formatPath(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!/^[A-Za-z0-9_$-]{1,64}$/.test(step)) text += `[${shorten(JSON.stringify(step))}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}

/** Text from a file as it may stand in a message: quoted, escaped, not longer than a line. */
export function quote(text: string): string {
  return shorten(JSON.stringify(text));
}

function shorten(text: string): string {
  return text.length > 72 ? `${text.slice(0, 68)}..."` : text;
}
