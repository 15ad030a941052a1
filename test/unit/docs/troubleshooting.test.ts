// Goal: whoever meets an error finds it in the documentation, and the documentation describes no
// error that is not.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { exitStatuses } from "../../../src/cli/shell/program.js";
import { errorCatalogue } from "../../../src/errors.js";

const text = readFileSync("docs/troubleshooting.md", "utf8");

test("every error code has its section, in the order of the catalogue", () => {
  const sections = [...text.matchAll(/^### `([A-Z_0-9]+)`$/gm)].map((match) => match[1]);
  expect(sections).toEqual(Object.keys(errorCatalogue));
});

test("every section says something", () => {
  for (const section of text.split(/^### /m).slice(1)) {
    const [title = "", ...body] = section.split("\n");
    expect(body.join(" ").trim().length, title).toBeGreaterThan(40);
  }
});

test("every exit status is in the table, in the words of `ilm --help`", () => {
  const statuses = [...text.matchAll(/^\| (\d) \| (.*) \|$/gm)].map(
    ([, status, meaning]) => [Number(status), meaning] as const,
  );
  expect(statuses).toEqual(exitStatuses);
});
