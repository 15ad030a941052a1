/**
 * Renders aligned tables. A cell may have several lines; columns marked `shrink` get narrower when
 * the terminal is too narrow.
 */
import { printable } from "../../printable.js";

export interface Column {
  readonly heading: string;
  readonly align?: "left" | "right";
  /**
   * True for a column that gives up width, with an ellipsis, when the table exceeds the terminal.
   */
  readonly shrink?: boolean;
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
  const widths = fit(columns, measure(columns, rows), options.width);
  const headings = columns.map(({ heading }): Cell =>
    options.paintHeading === undefined ? heading : { text: heading, paint: options.paintHeading },
  );
  return [headings, ...rows].map((row) => renderRow(columns, row, widths)).join("");
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
  let excess = sum(widths) + GAP.length * (widths.length - 1) - available;
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
    const cells = columns.map(({ align }, index) => {
      const cell = row[index] ?? "";
      const width = widths[index] ?? 0;
      const part = cut(lines(cell)[line] ?? "", width);
      const padding = " ".repeat(width - part.length);
      const painted = typeof cell === "string" || part === "" ? part : cell.paint(part);
      if (align === "right") return padding + painted;
      return index === columns.length - 1 ? painted : painted + padding;
    });
    text += `${cells.join(GAP).trimEnd()}\n`;
  }
  return text;
}

function lines(cell: Cell | undefined): string[] {
  return (typeof cell === "object" ? cell.text : (cell ?? "")).split("\n").map(printable);
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
