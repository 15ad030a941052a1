// Goal: the link check sees the links a reader sees, and knows a heading by the name a forge gives it.
import { describe, expect, test } from "vitest";

import { findLinks, headingAnchors } from "../../../tools/markdown.js";

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
