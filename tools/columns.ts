/**
 * Finds lines that are too long to be read beside others. The formatter breaks code wherever it can
 * be broken but leaves comments as they are, so only comments are checked.
 */
import { parseAst } from "rolldown/parseAst";

/** Matches a comment of C, except what it shows as typed, which is indented further. */
const commentOfC = /^\s*(?:\/\*|\* \S)/;

const COLUMNS = 100;

interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Collects the literals, which cannot be broken without changing what they say: strings, patterns,
 * and the text of templates.
 */
function literalsOf(node: unknown, found: Span[]): void {
  if (typeof node !== "object" || node === null) return;
  if (Array.isArray(node)) {
    for (const one of node) literalsOf(one, found);
    return;
  }
  const { type, start, end } = node as { type?: unknown; start?: unknown; end?: unknown };
  const isLiteral = type === "Literal" || type === "TemplateLiteral";
  if (isLiteral && typeof start === "number" && typeof end === "number") found.push({ start, end });
  for (const inner of Object.values(node)) literalsOf(inner, found);
}

const comment = /^\s*(?:\/\/|\/?\*)|\s\/\/\s/;

/**
 * Returns the numbers, from 1, of lines of C that have a comment and more than 100 columns. A tab
 * advances to the next multiple of 8.
 */
export function findLongLinesOfC(text: string): number[] {
  return text.split("\n").flatMap((line, index) => {
    const columns = line
      .split("\t")
      .reduce((at, part, i) => (i === 0 ? part.length : at - (at % 8) + 8 + part.length), 0);
    return columns > COLUMNS && commentOfC.test(line) ? [index + 1] : [];
  });
}

/**
 * Returns the numbers, from 1, of lines of TypeScript that have a comment and more than 100
 * columns. Text of a literal is no comment.
 */
export function findLongLines(text: string): number[] {
  let at = 0;
  const long: (Span & { readonly line: number })[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.length > COLUMNS && comment.test(line)) {
      long.push({ line: index + 1, start: at, end: at + line.length });
    }
    at += line.length + 1;
  }
  if (long.length === 0) return [];
  const literals: Span[] = [];
  literalsOf(parseAst(text, { lang: "ts" }), literals);
  const excused = ({ start }: Span): boolean =>
    literals.some((literal) => literal.start < start + COLUMNS && literal.end >= start + COLUMNS);
  return long.filter((one) => !excused(one)).map(({ line }) => line);
}
