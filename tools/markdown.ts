/**
 * Reads and writes the little of Markdown that the checks and the generators of the documents need.
 */

export interface Link {
  readonly target: string;
  /** The line of the link, from 1. */
  readonly line: number;
}

/** Returns the lines of a document, code blocks blanked out so that line numbers stay. */
function proseLines(text: string): string[] {
  let inCode = false;
  return text.split("\n").map((line) => {
    const fence = /^\s*(```|~~~)/.test(line);
    if (fence) inCode = !inCode;
    return fence || inCode ? "" : line;
  });
}

/** Finds inline links and images; code spans and code blocks hold none. */
export function findLinks(text: string): Link[] {
  return proseLines(text).flatMap((line, index) =>
    [...line.replace(/`[^`]*`/g, "").matchAll(/\]\(<?([^)\s>]+)>?\)/g)].map((match) => ({
      target: match[1] ?? "",
      line: index + 1,
    })),
  );
}

export interface CodeSpan {
  readonly code: string;
  /** The line of the span, from 1. */
  readonly line: number;
}

/** Finds code spans; code blocks hold none. */
export function findCodeSpans(text: string): CodeSpan[] {
  return proseLines(text).flatMap((line, index) =>
    [...line.matchAll(/`([^`]+)`/g)].map((match) => ({ code: match[1] ?? "", line: index + 1 })),
  );
}

/**
 * Returns the anchors of headings as the common forges make them: lower case, spaces to dashes,
 * punctuation gone.
 */
export function headingAnchors(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const line of proseLines(text)) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const anchor = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count += 1) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

/**
 * The position of a generated part, between `<!-- NAME: begin ... -->` and `<!-- NAME: end -->`.
 */
interface Part {
  /** The offset at which the text between the markers starts. */
  readonly start: number;
  readonly end: number;
}

function findPart(text: string, name: string): Part {
  const begin = text.indexOf(`<!-- ${name}: begin`);
  const start = begin < 0 ? -1 : text.indexOf("-->", begin) + 3;
  const end = text.indexOf(`<!-- ${name}: end -->`);
  if (begin < 0 || start < 3 || end < start) {
    throw new Error(`the document has no markers "${name}: begin" and "${name}: end"`);
  }
  return { start, end };
}

/** Returns what a generator wrote between its markers. Throws when they are not there. */
export function readPart(text: string, name: string): string {
  const { start, end } = findPart(text, name);
  return text.slice(start, end).trim();
}

/**
 * Returns the document with other content between the markers, which stay. Throws when they are not
 * there.
 */
export function replacePart(text: string, name: string, content: string): string {
  const { start, end } = findPart(text, name);
  return `${text.slice(0, start)}\n\n${content.trim()}\n\n${text.slice(end)}`;
}

/** Renders a table. The first row is the head; `align` applies to all columns but the first. */
export function renderTable(
  rows: readonly (readonly string[])[],
  align: "left" | "right" = "left",
): string {
  const [head = []] = rows;
  const rule = align === "left" ? "---" : "---:";
  const lines = rows.map((row) => `| ${row.join(" | ")} |`);
  lines.splice(1, 0, `| ${head.map((_, i) => (i === 0 ? "---" : rule)).join(" | ")} |`);
  return lines.join("\n");
}
