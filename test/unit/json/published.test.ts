// Goal: the compiler refuses output that differs from its shape, in either direction. Without the
// refusal, the directive above the line is an error itself, and `tsc` fails.
import { expect, test } from "vitest";
import { published } from "../../../src/json/published.js";
import {
  field,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  text,
  type Of,
} from "../../../src/json/shape.js";

const row = object({
  name: field(text, "A name."),
  place: field(nullable(object({ port: field(integer, "A port.") })), "A place."),
  kind: field(oneOf("one", "other"), "A kind."),
  remark: optional(text, "A remark."),
});
const rows = list(row);

type Json = Of<typeof rows>;
type Row = Json[number];

const right: Row = { name: "a", place: { port: 1 }, kind: "one" };

test("what has the fields of its shape is given back as it is", () => {
  const value = [right];
  expect(published<Json>()(value)).toBe(value);
  expect(published<Json>()([])).toEqual([]);
});

test("what differs does not compile", () => {
  const { name, place, kind } = right;
  // @ts-expect-error: a field is missing
  published<Json>()([{ place, kind }]);
  // @ts-expect-error: a field is not published
  published<Json>()([{ ...right, more: 1 }]);
  const deeper = place === null ? null : { ...place, host: "" };
  // @ts-expect-error: a field inside is not published
  published<Json>()([{ name, kind, place: deeper }]);
  const never = place ?? { port: 1 };
  // @ts-expect-error: null is published, and never printed
  published<Json>()([{ name, kind, place: never }]);
  // @ts-expect-error: "other" is published, and never printed
  published<Json>()([{ name, place, kind: "one" as const }]);
  // @ts-expect-error: a value is not published
  published<Json>()([{ name, place, kind: kind === "one" ? ("none" as const) : kind }]);
  expect(name).toBe("a");
});
