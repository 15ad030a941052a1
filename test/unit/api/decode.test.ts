import { expect, test } from "vitest";
import {
  answer,
  boolean,
  DecodeError,
  integer,
  nullable,
  object,
} from "../../../src/api/decode.js";

const shape = { done: integer(0, 9), format: nullable(integer(0, 9)), off: boolean };

test("what is asked of us has exactly the keys that are known", () => {
  const decode = object(shape);
  expect(decode({ done: 1, format: null, off: true }, "")).toEqual({
    done: 1,
    format: null,
    off: true,
  });
  expect(() => decode({ done: 1, format: null, off: true, more: 1 }, "")).toThrow(DecodeError);
  expect(() => decode({ done: 1, format: null }, "")).toThrow(DecodeError);
});

test("an answer of another version may have keys that are not known, and lack those that have a value when absent", () => {
  const decode = answer(shape, { format: null, off: false });
  expect(decode({ done: 1, more: { of: "it" } }, "")).toEqual({
    done: 1,
    format: null,
    off: false,
  });
  expect(decode({ done: 1, off: true }, "")).toEqual({ done: 1, format: null, off: true });
});

test("an answer that lacks anything else, or has a wrong value, is refused by its place", () => {
  const decode = answer(shape, { off: false });
  expect(() => decode({ done: 1 }, "result")).toThrow("result.format: is missing");
  expect(() => decode({ done: 10, format: null }, "result")).toThrow("result.done: must be 0 to 9");
  expect(() => decode([], "result")).toThrow("must be an object");
});
