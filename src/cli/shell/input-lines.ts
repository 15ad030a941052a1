/** Standard input, line by line, with no more of it in memory than a line. */
import { IlmError } from "../../errors.js";

export interface InputLine {
  /** From 1. */
  readonly number: number;
  /** The text; null when it is longer than `MAX_LINE`. */
  readonly text: string | null;
}

/** The longest line that is read, in characters. */
export const MAX_LINE = 64 * 1024;

/** Splits text that arrives in pieces. Longer lines are skipped over, and not kept. */
export async function* splitLines(pieces: AsyncIterable<string>): AsyncGenerator<InputLine> {
  let number = 1;
  let rest = "";
  let isTooLong = false;
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf("\n"); end >= 0; end = piece.indexOf("\n", start)) {
      const text = rest + piece.slice(start, end);
      yield { number: number++, text: isTooLong || text.length > MAX_LINE ? null : text };
      rest = "";
      isTooLong = false;
      start = end + 1;
    }
    if (isTooLong) continue;
    rest += piece.slice(start);
    isTooLong = rest.length > MAX_LINE;
    if (isTooLong) rest = "";
  }
  if (isTooLong || rest !== "") yield { number, text: isTooLong ? null : rest };
}

/** Reads the lines of standard input. */
export function stdinLines(): AsyncGenerator<InputLine> {
  process.stdin.setEncoding("utf8");
  return splitLines(process.stdin as AsyncIterable<string>);
}

/** Returns the text of a line. Throws USAGE for one that is too long. */
export function textOfLine({ text }: InputLine): string {
  if (text !== null) return text;
  throw new IlmError("USAGE", `the line has more than ${MAX_LINE} characters`, {
    remedy: "Write one question on each line.",
  });
}
