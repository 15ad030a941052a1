/** A document after reading: plain values, and the place of each for messages and origins. */

/**
 * A place in a file, counted from 1; 0 for the file as a whole. Columns count UTF-16 code units.
 */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export const wholeFile: Place = { line: 0, column: 0 };

export type Path = readonly (string | number)[];

export interface Source {
  /** The file's name as given. */
  readonly name: string;
  /** The document's value: null, booleans, numbers, strings, arrays and plain objects. */
  readonly value: unknown;
  /** Returns the value at the path. */
  valueAt(path: Path): unknown;
  /**
   * Returns the place of the value at the path, or of its key. If it does not exist, returns the
   * place of what should have held it.
   */
  place(path: Path, of?: "key" | "value"): Place;
}

/** Returns the value at the path inside another. */
export function valueIn(value: unknown, path: Path): unknown {
  let found = value;
  for (const step of path) found = (found as Record<string | number, unknown>)[step];
  return found;
}

/** A fault that a reader finds in the text itself, before it has any meaning. */
export interface TextProblem {
  /** The offset in UTF-16 code units from the start of the text. */
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
}

/** Formats a path, such as `mappings[2].on[0]`. Keys that could be misread are quoted. */
export function formatPath(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!/^[A-Za-z0-9_$-]{1,64}$/.test(step)) text += `[${shorten(JSON.stringify(step))}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}

/** Prepares text from a file for a message: quoted, escaped, no longer than a line. */
export function quote(text: string): string {
  return shorten(JSON.stringify(text));
}

function shorten(text: string): string {
  return text.length > 72 ? `${text.slice(0, 68)}..."` : text;
}
