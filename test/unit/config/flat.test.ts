// Goal: what is read in one pass is what JSON says, and whatever is not plain is left to JSON.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readFlat } from "../../../src/config/flat.js";

const anyPlain = fc.dictionary(
  fc.string({ minLength: 1, maxLength: 8 }),
  fc.oneof(fc.string({ maxLength: 12 }), fc.integer({ min: 0, max: 99_999 })),
  { maxKeys: 6, noNullPrototype: true },
);

/** Texts that are nearly such a line. */
const anyLine = fc
  .tuple(
    anyPlain,
    fc.nat(),
    fc.constantFrom("", '"', "\\", "{", "}", ":", ",", " ", "0", "\t", "-"),
  )
  .map(([value, at, put]) => {
    const text = JSON.stringify(value);
    const place = at % (text.length + 1);
    return text.slice(0, place) + put + text.slice(place);
  });

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

describe("a line", () => {
  test("is what JSON makes of it, or nothing", () => {
    fc.assert(
      fc.property(fc.oneof(anyLine, fc.json()), fc.constantFrom("", "\n", "\r\n{"), (line, end) => {
        const flat = readFlat(line + end, 0);
        if (flat === null) return;
        expect(flat).toEqual(parsed(line));
        // Nothing was lost: each key is there once, and each number is written plainly.
        expect(JSON.stringify(flat)).toBe(JSON.stringify(parsed(line)));
      }),
      { numRuns: 20_000 },
    );
  });

  test("of texts and numbers is read, wherever it begins, with and without spaces", () => {
    const lines = ['{"port":443,"on":"10.0.0.1","to":"web:80"}', ' {\t"port" : 0 , "to":"x" } \r'];
    const text = lines.join("\n");
    expect(readFlat(text, 0)).toEqual({ port: 443, on: "10.0.0.1", to: "web:80" });
    expect(readFlat(text, text.indexOf("\n") + 1)).toEqual({ port: 0, to: "x" });
  });

  for (const [what, line] of Object.entries({
    "a list": '{"port":[80],"to":"web"}',
    "an object inside": '{"port":80,"to":{"address":"127.0.0.1"}}',
    "an escape": '{"port":80,"to":"\\u0077eb"}',
    "a key twice": '{"port":80,"port":80}',
    "a key of every object": '{"port":80,"__proto__":"x"}',
    "a leading zero": '{"port":080}',
    "a sign": '{"port":-80}',
    "a fraction": '{"port":80.0}',
    "an exponent": '{"port":8e1}',
    "a number too long to be exact": '{"port":12345678901234567890}',
    "a comma at its end": '{"port":80,}',
    "more behind it": '{"port":80}{"port":81}',
    "an end that is missing": '{"port":80',
    "a text that goes on": '{"to":"web\n"}',
    "no object": "80",
    "nothing in it": "{}",
    nothing: "",
  })) {
    test(`with ${what} is left to JSON`, () => {
      expect(readFlat(line, 0)).toBeNull();
    });
  }
});
