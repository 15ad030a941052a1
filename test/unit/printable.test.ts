// Goal: nothing that others named steers a terminal or turns text round, and JSON keeps the value.
import { describe, expect, test } from "vitest";
import { printable, printableJson, printableLines } from "../../src/printable.js";

const steering = {
  "C0 controls": ["\0", "\u0007", "\u001B", "\r"],
  DEL: ["\u007F"],
  "C1 controls": ["\u0080", "\u009B", "\u009D"],
  "bidi controls": Array.from(
    "\u202A\u202B\u202C\u202D\u202E\u2066\u2067\u2068\u2069\u200E\u200F\u061C",
  ),
  "separators of lines and paragraphs": ["\u2028", "\u2029"],
  "what has no width": ["\u200B", "\uFEFF", "\u{E0041}"],
  "halves of surrogate pairs": ["\uD800", "\uDFFF"],
};

describe.each(Object.entries(steering))("%s", (_, characters) => {
  test.each(characters)("%j is shown by its number", (character) => {
    const number = `\\u{${character.codePointAt(0)?.toString(16)}}`;
    expect(printable(`a${character}b`)).toBe(`a${number}b`);
    expect(printableLines(`a${character}b\n`)).toBe(`a${number}b\n`);
  });

  test.each(characters)("%j in JSON is escaped, and comes back", (character) => {
    const json = printableJson(JSON.stringify({ name: `a${character}b` }));
    expect(json).toMatch(/^[\u0020-\u007E]*$/);
    expect(JSON.parse(json)).toEqual({ name: `a${character}b` });
  });
});

test("other text stays as it is, in lines with its tabs", () => {
  const text = "wäb 服务 🚀 \\u{1b}";
  expect(printable(text)).toBe(text);
  expect(printableLines(`${text}\n\t${text}`)).toBe(`${text}\n\t${text}`);
  expect(printableJson(JSON.stringify(text))).toBe(JSON.stringify(text));
});

test("line breaks and tabs are shown where one line is wanted", () => {
  expect(printable("a\n\tb")).toBe("a\\u{a}\\u{9}b");
});
