// Goal: what is written into man pages is what a reader sees there, and what he copies works.
import { describe, expect, test } from "vitest";

import { markdownToRoff, sectionOf } from "../../../tools/markdown-roff.js";
import { block, entry, prose } from "../../../tools/roff.js";

describe("text", () => {
  test("that troff would interpret is escaped", () => {
    expect(prose(".a\n'b\nc\\d -f")).toBe("\\&.a\n\\&'b\nc\\ed \\-f");
  });

  test("in backticks is bold, also when it begins with a dot", () => {
    expect(prose("see `.a`, and `-b`.")).toBe("see \\fB\\&.a\\fR, and \\fB\\-b\\fR.");
  });

  test("with a single backtick keeps it", () => {
    expect(prose("a ` b")).toBe("a ` b");
  });

  test("to copy keeps its quotes, tildes and carets", () => {
    expect(block("echo 'a' `b` ~ ^\n")).toBe(
      ".PP\n.RS 4\n.EX\necho \\(aqa\\(aq \\(gab\\(ga \\(ti \\(ha\n.EE\n.RE",
    );
  });

  test("of a definition follows its term", () => {
    expect(entry("\\fBa\\fR", "b")).toBe(".TP\n\\fBa\\fR\nb");
  });
});

describe("a section of a document", () => {
  const document = "# T\n\n## One\n\na\n\n### Inner\n\nb\n\n## Two\n\nc\n";

  test("reaches to the next heading of its level, or to the end", () => {
    expect(sectionOf(document, "One")).toBe("a\n\n### Inner\n\nb");
    expect(sectionOf(document, "Two")).toBe("c");
  });

  test("that is not there is an error with its name", () => {
    expect(() => sectionOf(document, "Three")).toThrow('no section "Three"');
  });
});

describe("Markdown", () => {
  test("gives headings and paragraphs, with the text of links", () => {
    expect(markdownToRoff("### A\n\nb [c](d.md#e)\nf **g**\n\nh")).toBe(
      ".SS A\n.PP\nb c f g\n.PP\nh",
    );
  });

  test("gives lists with their continuation lines", () => {
    expect(markdownToRoff("- a\n  b\n- c\n\n1. d\n2. e")).toBe(
      ".IP \\(bu 2\na b\n.IP \\(bu 2\nc\n.IP 1. 4\nd\n.IP 2. 4\ne",
    );
  });

  test("gives code as it is, fenced or indented", () => {
    expect(markdownToRoff("a\n```yaml\nb: |\n\n  c\n```\n\n    d")).toBe(
      `.PP\na\n${block("b: |\n\n  c")}\n${block("d")}`,
    );
  });

  test("gives rows as definitions; further cells keep the heading of their column", () => {
    const table = "| a | b | c |\n|---|---|---|\n| `d\\|e` | f | g |\n| h | | |";
    expect(markdownToRoff(table)).toBe(".TP\n\\fBd|e\\fR\nf; c: g\n.TP\nh\n");
  });
});
