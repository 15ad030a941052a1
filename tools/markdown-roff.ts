/** Renders the Markdown of our documents as man(7). Pure. */
import { block, prose } from "./roff.js";

/** Returns the text below a heading of the second level. Throws when the document has none. */
export function sectionOf(document: string, heading: string): string {
  const begin = document.indexOf(`\n## ${heading}\n`);
  if (begin < 0) throw new Error(`the document has no section "${heading}"`);
  const start = begin + heading.length + 5;
  const end = document.indexOf("\n## ", start);
  return document.slice(start, end < 0 ? undefined : end).trim();
}

/** Renders headings, paragraphs, lists, tables and code blocks; of links it keeps the text. */
export function markdownToRoff(markdown: string): string {
  return blocksOf(markdown).map(renderBlock).join("\n");
}

interface Block {
  readonly kind: "code" | "heading" | "table" | "item" | "paragraph";
  readonly lines: readonly string[];
}

function blocksOf(markdown: string): Block[] {
  const lines = markdown.split("\n");
  const blocks: Block[] = [];
  let at = 0;
  const take = (belongs: (line: string) => boolean): string[] => {
    const first = at;
    while (at < lines.length && belongs(lines[at] ?? "")) at += 1;
    return lines.slice(first, at);
  };
  while (at < lines.length) {
    const line = lines[at] ?? "";
    if (line.startsWith("```")) {
      at += 1;
      blocks.push({ kind: "code", lines: take((inside) => !inside.startsWith("```")) });
      at += 1;
    } else if (line.startsWith("    ")) {
      const indented = take((inside) => inside.startsWith("    "));
      blocks.push({ kind: "code", lines: indented.map((inside) => inside.slice(4)) });
    } else if (line.startsWith("#")) {
      at += 1;
      blocks.push({ kind: "heading", lines: [line.replace(/^#+\s*/, "")] });
    } else if (line.startsWith("|")) {
      blocks.push({ kind: "table", lines: take((inside) => inside.startsWith("|")) });
    } else if (line.trim() === "") {
      at += 1;
    } else {
      at += 1;
      const kind = ITEM.test(line) ? "item" : "paragraph";
      blocks.push({ kind, lines: [line, ...take((inside) => !BEGINS.test(inside))] });
    }
  }
  return blocks;
}

const ITEM = /^(?:-|\d+\.)\s+/;
/** What ends a paragraph or an item. */
const BEGINS = /^(?:$|```|#|\||-\s|\d+\.\s)/;

function renderBlock({ kind, lines }: Block): string {
  const text = lines.map((line) => line.trim()).join(" ");
  switch (kind) {
    case "code":
      return block(lines.join("\n"));
    case "heading":
      return `.SS ${inline(text)}`;
    case "table":
      return renderTable(lines);
    case "item": {
      const [mark = ""] = ITEM.exec(text) ?? [];
      const bullet = mark.startsWith("-") ? "\\(bu 2" : `${mark.trim()} 4`;
      return `.IP ${bullet}\n${inline(text.slice(mark.length))}`;
    }
    case "paragraph":
      return `.PP\n${inline(text)}`;
  }
}

/** A row becomes a definition of its first cell; a third cell keeps the heading of its column. */
function renderTable(lines: readonly string[]): string {
  const [head = [], , ...rows] = lines.map(cellsOf);
  return rows
    .map(([term = "", text = "", ...more]) => {
      const others = more
        .map((cell, index) => ({ cell, heading: head[index + 2] ?? "" }))
        .filter(({ cell }) => cell !== "")
        .map(({ cell, heading }) => `${heading}: ${cell}`);
      const said = [text, ...others].filter((part) => part !== "").join("; ");
      return `.TP\n${inline(term)}\n${inline(said)}`;
    })
    .join("\n");
}

/** Splits a row at the bars that are not escaped. */
function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function inline(text: string): string {
  return prose(text.replace(/\[([^\]]+)\]\([^)]+\)/g, "$1").replace(/\*\*([^*]+)\*\*/g, "$1"));
}
