/**
 * Renders aligned tables. A cell may have several lines. When the terminal is too narrow, columns
 * of zeros are left out first, and then cells of columns marked `shrink` go on in further lines:
 * nothing is cut.
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
const SHRUNK_MIN = 8;

/** Renders a table that ends with a newline; empty when there are no rows. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions,
): string {
  if (rows.length === 0) return "";
  const natural = measure(columns, rows);
  if (excessOf(natural, options.width) > 0) {
    const says = columns.map(
      ({ count }, index) => count !== true || rows.some((row) => textOf(row[index]) !== "0"),
    );
    if (says.includes(false)) {
      const saying = <T>(cells: readonly T[]): T[] => cells.filter((_, index) => says[index]);
      return renderTable(saying(columns), rows.map(saying), options);
    }
  }
  const widths = fit(columns, natural, options.width);
  const headings = columns.map(({ heading }): Cell =>
    options.paintHeading === undefined ? heading : { text: heading, paint: options.paintHeading },
  );
  return [headings, ...rows].map((row) => renderRow(columns, row, widths)).join("");
}

function textOf(cell: Cell | undefined): string {
  return typeof cell === "object" ? cell.text : (cell ?? "");
}

function excessOf(widths: readonly number[], available: number): number {
  return sum(widths) + GAP.length * (widths.length - 1) - available;
}

function measure(columns: readonly Column[], rows: readonly (readonly Cell[])[]): number[] {
  return columns.map(({ heading }, index) =>
    rows.reduce(
      (widest, row) => Math.max(widest, ...lines(row[index]).map((line) => line.length)),
      heading.length,
    ),
  );
}

/** Takes from the widest shrinkable column first, until the table fits or none can give more. */
function fit(columns: readonly Column[], natural: readonly number[], available: number): number[] {
  const widths = [...natural];
  let excess = excessOf(widths, available);
  while (excess > 0) {
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      const width = widths[index] ?? 0;
      if (column.shrink !== true || width <= SHRUNK_MIN) continue;
      if (widest < 0 || width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

function renderRow(
  columns: readonly Column[],
  row: readonly Cell[],
  widths: readonly number[],
): string {
  const height = Math.max(...row.map((cell) => lines(cell).length));
  let text = "";
  for (let line = 0; line < height; line++) {
    // What belongs together stays on one line, however many lines it takes.
    const parts = columns.map((_, index) =>
      wrap(lines(row[index])[line] ?? "", widths[index] ?? 0),
    );
    for (let at = 0; at < Math.max(...parts.map(({ length }) => length)); at++) {
      const cells = columns.map(({ align }, index) => {
        const cell = row[index] ?? "";
        const part = parts[index]?.[at] ?? "";
        const padding = " ".repeat((widths[index] ?? 0) - part.length);
        const painted = typeof cell === "string" || part === "" ? part : cell.paint(part);
        if (align === "right") return padding + painted;
        return index === columns.length - 1 ? painted : painted + padding;
      });
      text += `${cells.join(GAP).trimEnd()}\n`;
    }
  }
  return text;
}

function lines(cell: Cell | undefined): string[] {
  return textOf(cell).split("\n").map(printable);
}

/**
 * Breaks a line behind a space, a comma, or a sign that addresses have; or else anywhere. `width`
 * is at least 1.
 */
function wrap(text: string, width: number): string[] {
  const parts: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const most = rest.slice(0, width);
    const at = /^.*[ ,:/@.-]/.exec(most)?.[0].length ?? 0;
    const end = at > width / 2 ? at : width;
    parts.push(rest.slice(0, end).trimEnd());
    rest = rest.slice(end).trimStart();
  }
  return [...parts, rest];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
