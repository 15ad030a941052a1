// Goal: the link check sees the links a reader sees, and knows a heading by the name a forge gives
// it; a generator writes between its own markers and nowhere else.
import { describe, expect, test } from "vitest";

import {
  findLinks,
  headingAnchors,
  readPart,
  renderTable,
  replacePart,
} from "../../../tools/markdown.js";

describe("links", () => {
  test("of prose and tables are found with their line", () => {
    expect(findLinks("# a\n\nsee [b](b.md#c) and ![d](<e.png>)\n| [f](g.md) |\n")).toEqual([
      { target: "b.md#c", line: 3 },
      { target: "e.png", line: 3 },
      { target: "g.md", line: 4 },
    ]);
  });

  test("in code are none", () => {
    expect(findLinks("`[a](b.md)`\n```\n[c](d.md)\n```\n")).toEqual([]);
  });
});

describe("anchors", () => {
  test("are lower case with dashes and without punctuation", () => {
    expect([...headingAnchors("# What, *now*?\n## `NO_BPF`\n")]).toEqual(["what-now", "no_bpf"]);
  });

  test("of equal headings are numbered", () => {
    expect([...headingAnchors("# A\n# A\n")]).toEqual(["a", "a-1"]);
  });

  test("are not made of comments in code", () => {
    expect([...headingAnchors("```sh\n# not a heading\n```\n")]).toEqual([]);
  });
});

describe("generated parts", () => {
  const document =
    "# a\n<!-- x: begin (made by `x`) -->\n\nold\n\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n";

  test("are read and replaced between their markers, and all else stays", () => {
    expect(readPart(document, "x")).toBe("old");
    const replaced = replacePart(document, "x", "new\n\nlines\n");
    expect(readPart(replaced, "x")).toBe("new\n\nlines");
    expect(replaced).toBe(document.replace("old", "new\n\nlines"));
    expect(replacePart(replaced, "x", "old")).toBe(document);
  });

  test("may be empty", () => {
    expect(readPart(document, "y")).toBe("");
    expect(readPart(replacePart(document, "y", "z"), "y")).toBe("z");
  });

  test.each([
    "",
    "<!-- x: begin -->",
    "<!-- x: end -->",
    "<!-- x: end --><!-- x: begin -->",
    "<!-- xx: begin --><!-- xx: end -->",
  ])("without markers are refused: %j", (text) => {
    expect(() => replacePart(text, "x", "new")).toThrow(/no markers "x: begin"/);
  });
});

test("tables have their rule below the head", () => {
  expect(
    renderTable([
      ["a", "b"],
      ["1", "2"],
    ]),
  ).toBe("| a | b |\n| --- | --- |\n| 1 | 2 |");
  expect(renderTable([["a", "b"]], "right")).toBe("| a | b |\n| --- | ---: |");
});
