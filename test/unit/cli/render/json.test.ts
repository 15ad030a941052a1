// Goal: the pieces are the document that JSON.stringify would make, and none is large.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { jsonPieces } from "../../../../src/cli/render/json.js";

test("the pieces together are what JSON.stringify makes", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      expect([...jsonPieces(value)].join("")).toBe(`${JSON.stringify(value, null, 2)}\n`);
    }),
  );
});

test("what JSON does not know is left out of objects, null in arrays, and dates are text", () => {
  const value = { gone: undefined, list: [undefined, 1], date: new Date(0), empty: {} };
  expect([...jsonPieces(value)].join("")).toBe(`${JSON.stringify(value, null, 2)}\n`);
});

test("a long list comes in many pieces, also inside an object", () => {
  const row = { name: "a name of some length", to: ["127.0.1.10"] };
  const list = Array.from({ length: 50_000 }, () => row);
  for (const value of [list, { added: list }]) {
    const pieces = [...jsonPieces(value)];
    expect(pieces.length).toBeGreaterThan(3);
    for (const piece of pieces) expect(piece.length).toBeLessThan(2 << 20);
    expect(JSON.parse(pieces.join(""))).toEqual(value);
  }
});
