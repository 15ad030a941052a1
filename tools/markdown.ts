/** The little of Markdown that the checks of the documents need. */

export interface Link {
  readonly target: string;
  /** 1-based. */
  readonly line: number;
}

/** The lines of a document, code blocks blanked out so that the numbers stay. */
function proseLines(text: string): string[] {
  let inCode = false;
  return text.split("\n").map((line) => {
    const fence = /^\s*(```|~~~)/.test(line);
    if (fence) inCode = !inCode;
    return fence || inCode ? "" : line;
  });
}

/** Inline links and images; code spans and code blocks hold none. */
export function findLinks(text: string): Link[] {
  return proseLines(text).flatMap((line, index) =>
    [...line.replace(/`[^`]*`/g, "").matchAll(/\]\(<?([^)\s>]+)>?\)/g)].map((match) => ({
      target: match[1] ?? "",
      line: index + 1,
    })),
  );
}

/** What a heading's link is, the way the common forges make it: lower case, spaces to dashes, punctuation gone. */
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
