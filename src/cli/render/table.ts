/**
 * Renders aligned tables. A cell may have several lines. When the terminal is too narrow, columns
 * without content are left out first; then cells of columns marked `shrink` go on in further lines,
 * between words; and what still does not fit in its column moves the cells behind it to the next
 * line. Nothing is cut, and no address, port, name or number with its unit is broken: it can be
 * copied, and is not taken for another.
 */
import { printable } from "../../printable.js";

export interface Column {
  readonly heading: string;
  readonly align?: "left" | "right";
  /** True for a column that gives up width when the table exceeds the terminal. */
  readonly shrink?: boolean;
  /** True for a column of numbers that says nothing when all of them are 0. */
  readonly count?: boolean;
}

/**
 * The text of a cell, its lines separated by `\n`. `paint` is called after measuring and padding,
 * so that colours take no width.
 */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

export interface TableOptions {
  /** The width of the terminal in columns; may be Infinity. */
  readonly width: number;
  readonly paintHeading?: (text: string) => string;
}

const GAP = "  ";

/** Renders a table that ends with a newline; empty when there are no rows. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions,
): string {
  if (rows.length === 0) return "";
  const natural = measure(columns, rows, lines);
  if (excessOf(natural, options.width) > 0) {
    const says = columns.map((column, index) => rows.some((row) => hasContent(column, row[index])));
    if (says.includes(false) && says.includes(true)) {
      const saying = <T>(cells: readonly T[]): T[] => cells.filter((_, index) => says[index]);
      return renderTable(saying(columns), rows.map(saying), options);
    }
  }
  const widths = fit(columns, rows, natural, options.width);
  const headings = columns.map(({ heading }): Cell =>
    options.paintHeading === undefined ? heading : { text: heading, paint: options.paintHeading },
  );
  const laid = columns.map(({ align }, index) => ({ align, width: widths[index] ?? 0 }));
  return [headings, ...rows].map((row) => renderRow(laid, row, options.width)).join("");
}

/** Reports whether a cell says more than that there is nothing. */
function hasContent({ count }: Column, cell: Cell | undefined): boolean {
  return lines(cell).some(
    (line) => line !== "" && line !== "-" && (count !== true || line !== "0"),
  );
}

function textOf(cell: Cell | undefined): string {
  return typeof cell === "object" ? cell.text : (cell ?? "");
}

function excessOf(widths: readonly number[], available: number): number {
  return sum(widths) + GAP.length * (widths.length - 1) - available;
}

/** Measures the longest of the parts of all cells of each column, and its heading. */
function measure(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  partsOf: (cell: Cell | undefined) => readonly string[],
): number[] {
  return columns.map(({ heading }, index) =>
    rows.reduce((widest, row) => Math.max(widest, longest(partsOf(row[index]))), heading.length),
  );
}

/**
 * Takes from the widest shrinkable column first, as long as its words fit; and then from where the
 * fewest cells get too long for their column.
 */
function fit(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  natural: readonly number[],
  available: number,
): number[] {
  const widths = [...natural];
  let excess = excessOf(widths, available);
  const least = excess > 0 ? measure(columns, rows, words) : widths;
  while (excess > 0) {
    const candidates = [...columns.keys()].filter(
      (index) => columns[index]?.shrink === true && (widths[index] ?? 0) > (least[index] ?? 0),
    );
    const widest = candidates.toSorted((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
    if (widest === undefined) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  if (excess <= 0) return widths;
  // From here on, cells get too long. How many do at which width is known from their words.
  const steps = columns.map(({ heading, shrink }, index) =>
    shrink === true ? narrowings(rows, index, heading.length) : [],
  );
  while (excess > 0) {
    let best: { readonly index: number; readonly at: number; readonly cost: number } | null = null;
    for (const [index, some] of steps.entries()) {
      const width = widths[index] ?? 0;
      const before = some.find((step) => step.width === width)?.tooLong ?? 0;
      for (const [at, step] of some.entries()) {
        const gain = Math.min(width - step.width, excess);
        if (gain <= 0) continue;
        const cost = (step.tooLong - before) / gain;
        if (best === null || cost < best.cost) best = { index, at, cost };
      }
    }
    if (best === null) break;
    const width = steps[best.index]?.[best.at]?.width ?? 0;
    excess -= (widths[best.index] ?? 0) - width;
    // What was taken beyond need is given back.
    widths[best.index] = width + Math.max(0, -excess);
  }
  return widths;
}

interface Narrowing {
  readonly width: number;
  /** The number of lines of cells with a word that is longer. */
  readonly tooLong: number;
}

/** Returns the widths that a column can have, the widest first: those of the words in it. */
function narrowings(
  rows: readonly (readonly Cell[])[],
  index: number,
  least: number,
): readonly Narrowing[] {
  const cells = new Map<number, number>([[least, 0]]);
  for (const line of rows.flatMap((row) => lines(row[index]))) {
    const width = Math.max(least, longest(words(line)));
    cells.set(width, (cells.get(width) ?? 0) + 1);
  }
  let tooLong = 0;
  return [...cells]
    .toSorted(([a], [b]) => b - a)
    .map(([width, number]) => {
      const step = { width, tooLong };
      tooLong += number;
      return step;
    });
}

export interface LaidColumn {
  readonly width: number;
  readonly align?: "left" | "right" | undefined;
}

/**
 * Renders a row in columns of these widths, after `indent` blanks. What is too long for its column
 * has the rest of the line, and the cells behind it are on the next line, in their columns; or,
 * where lines have no end, farther to the right.
 */
export function renderRow(
  columns: readonly LaidColumn[],
  row: readonly Cell[],
  available: number,
  indent = 0,
): string {
  const height = Math.max(...row.map((cell) => lines(cell).length));
  let text = "";
  for (let line = 0; line < height; line++) {
    // What belongs together stays on one line, however many lines it takes.
    const block = new Block(available);
    let start = indent;
    for (const [index, { width, align }] of columns.entries()) {
      const cell = row[index] ?? "";
      const own = lines(cell)[line] ?? "";
      const parts = available === Infinity ? [own] : wrap(own, width);
      const paint = typeof cell === "string" ? null : cell.paint;
      block.add(parts, { start, width, paint, align, isLast: index === columns.length - 1 });
      start += width + GAP.length;
    }
    text += block.text();
  }
  return text;
}

interface Place {
  readonly start: number;
  readonly width: number;
  readonly paint: ((text: string) => string) | null;
  readonly align: "left" | "right" | undefined;
  readonly isLast: boolean;
}

/** Lines that are filled from the left to the right, with cells of some lines each. */
class Block {
  readonly #available: number;
  readonly #lines: { text: string; length: number }[] = [];
  /** The line at which the next cell begins. */
  #top = 0;

  constructor(available: number) {
    this.#available = available;
  }

  add(parts: readonly string[], { start, width, paint, align, isLast }: Place): void {
    const long = longest(parts);
    if (long === 0) return;
    const isLong = long > width;
    // Moved to the left rather than beyond the terminal, and onto lines that are free there.
    let at = isLong ? Math.max(0, Math.min(start, this.#available - long)) : start;
    const isTaken = (line: number): boolean => (this.#lines[line]?.length ?? 0) > at;
    if (this.#available === Infinity) {
      const end = this.#lines.reduce((most, { length }) => Math.max(most, length), 0);
      at = Math.max(at, end === 0 ? 0 : end + GAP.length);
    } else if (parts.some((part, index) => part !== "" && isTaken(this.#top + index))) {
      this.#top = this.#lines.length;
    }
    for (const [index, part] of parts.entries()) {
      const line = (this.#lines[this.#top + index] ??= { text: "", length: 0 });
      if (part === "") continue;
      const padding = " ".repeat(Math.max(0, width - part.length));
      const before = " ".repeat(at - line.length) + (align === "right" ? padding : "");
      line.text += before + (paint?.(part) ?? part);
      line.length = at + part.length + (align === "right" ? padding.length : 0);
    }
    if (isLong && !isLast && this.#available !== Infinity) {
      this.#top += parts.findLastIndex(({ length }) => length > width) + 1;
    }
  }

  text(): string {
    if (this.#lines.length === 0) return "\n";
    return this.#lines.map(({ text }) => `${text.trimEnd()}\n`).join("");
  }
}

function lines(cell: Cell | undefined): string[] {
  return textOf(cell).split("\n").map(printable);
}

/** What is not broken: each ends with its own comma, and none with a space. */
function words(cell: Cell | undefined): string[] {
  return lines(cell).flatMap((line) => pieces(line).map((piece) => piece.trimEnd()));
}

/**
 * Splits a line behind commas and spaces, but for spaces in parentheses without a comma before, and
 * those beside a number: `(but a wildcard)`, `weight 3`, `pid 812` and `14 min` stay whole.
 */
function pieces(line: string): string[] {
  const found: string[] = [];
  let start = 0;
  let depth = 0;
  for (let at = 0; at < line.length; at++) {
    const char = line[at];
    if (char === "(") depth += 1;
    if (char === ")") depth -= 1;
    const isBreak =
      char === ","
        ? line[at + 1] !== " "
        : char === " " && (line[at - 1] === "," || (depth <= 0 && !isBesideNumber(line, at)));
    if (!isBreak) continue;
    found.push(line.slice(start, at + 1));
    start = at + 1;
  }
  return [...found, line.slice(start)];
}

/** Reports whether the space is between a number and its unit, or a word and its number. */
function isBesideNumber(line: string, at: number): boolean {
  const [before = ""] = /\S*$/.exec(line.slice(0, at)) ?? [];
  const [after = ""] = /^\S*/.exec(line.slice(at + 1)) ?? [];
  return (
    (/^\d+$/.test(before) && /^[a-z%]/.test(after)) ||
    (/^[a-z]+$/.test(before) && /^\d+\W*$/.test(after))
  );
}

/** Breaks a line between words. A word that is longer than `width` stays whole. */
export function wrap(text: string, width: number): string[] {
  if (text.length <= width) return [text];
  const parts: string[] = [];
  let part = "";
  for (const piece of pieces(text)) {
    if (part !== "" && (part + piece).trimEnd().length > width) {
      parts.push(part.trimEnd());
      part = "";
    }
    part += piece;
  }
  return [...parts, part.trimEnd()];
}

function longest(texts: readonly string[]): number {
  return texts.reduce((most, { length }) => Math.max(most, length), 0);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
