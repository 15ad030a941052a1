import { expect, test } from "vitest";
import { findLongLines, findLongLinesOfC } from "../../../tools/columns.js";

const word = "word ".repeat(25).trim();

test.each([
  ["a long comment is found", `const a = 1;\n// ${word}\n`, [2]],
  ["a long comment behind a statement is found", `const a = 1; // ${word}\n`, [1]],
  ["a long statement is the formatter's", `const ${"a".repeat(60)} = ${"b".repeat(60)};\n`, []],
  ["a long string is left", `const a = "${word}";\n`, []],
  ["a long line of a template is left", `const a = \`\n// ${word}\n\`;\n`, []],
  ["a long pattern is left", `const a = /${word}/;\n`, []],
  ["a short string excuses no long comment", `f("a"); // ${word}\n`, [1]],
  ["short lines are no trouble", "const a = 1;\n", []],
])("%s", (_, text, lines) => {
  expect(findLongLines(text)).toEqual(lines);
});

test.each([
  ["a long comment of C is found", `int a;\n/* ${word} */\n`, [2]],
  ["a tab has eight columns", `\t\t * ${"word ".repeat(17).trim()}\n`, [1]],
  ["a long statement of C is left", `int ${"a".repeat(120)};\n`, []],
])("%s", (_, text, lines) => {
  expect(findLongLinesOfC(text)).toEqual(lines);
});
