/** Writes man(7), for the man pages. Pure. */

/**
 * Escapes what troff would interpret: backslashes, hyphens (to stay ASCII), and a dot or quote that
 * begins a line.
 */
export function escape(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/gm, "\\&");
}

/** Escapes code too: quotes, tildes and carets that a reader copies have to stay what they are. */
function literal(text: string): string {
  return escape(text)
    .replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha");
}

export function bold(text: string): string {
  return `\\fB${literal(text)}\\fR`;
}

/** Renders a line of prose; `code` in it becomes bold. */
export function prose(text: string): string {
  const parts = text.split("`");
  // A backtick without its other half is a character like others.
  if (parts.length % 2 === 0) return escape(text);
  return parts
    .map((part, index) =>
      index % 2 === 1 ? bold(part) : index === 0 ? escape(part) : escape(part).replace(/^\\&/, ""),
    )
    .join("");
}

export function section(title: string, body: string): string {
  return `.SH ${title}\n${body.replace(/^\.PP\n/, "")}`;
}

/** Renders an item of a list of definitions; the term is roff already. */
export function entry(term: string, text: string): string {
  return `.TP\n${term}\n${prose(text)}`;
}

export function paragraphs(text: string): string {
  return text.split("\n\n").map(prose).join("\n.PP\n");
}

/** Renders lines to copy: a command, a file. */
export function block(text: string): string {
  return `.PP\n.RS 4\n.EX\n${literal(text.trimEnd())}\n.EE\n.RE`;
}

export interface Page {
  readonly name: string;
  /** The section of the manual. */
  readonly number: 1 | 5;
  readonly purpose: string;
  readonly version: string;
  /** What it is made of, for whoever opens the file to change it. */
  readonly madeFrom: string;
  readonly sections: readonly string[];
}

export function renderPage({ name, number, purpose, version, madeFrom, sections }: Page): string {
  const head = [
    `.\\" Made by tools/generate-docs.ts from ${madeFrom}.`,
    `.TH ${name.toUpperCase()} ${number} "" "ilm ${version}" "ilm"`,
    section("NAME", `${escape(name)} \\- ${escape(purpose)}`),
  ];
  return `${[...head, ...sections].join("\n")}\n`;
}
