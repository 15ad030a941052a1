// Goal: whoever opens the list of documents finds each of them.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("docs/README.md leads to every page", () => {
  const list = readFileSync("docs/README.md", "utf8");
  const pages = readdirSync("docs").filter((name) => name.endsWith(".md") && name !== "README.md");
  expect(pages.length).toBeGreaterThan(20);
  expect(pages.filter((name) => !list.includes(`](${name})`))).toEqual([]);
});
