// Goal: the checker that holds what commands print against its shape sees every kind of difference.
import { describe, expect, test } from "vitest";
import {
  boolean,
  either,
  field,
  foreign,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  text,
} from "../../../src/json/shape.js";
import { conforms, pathsOf } from "../../support/conforms.js";

const place = object({ port: field(integer, "A port.") }, "place");

const shape = list(
  object({
    name: field(text, "A name."),
    share: field(number, "A share."),
    live: field(boolean, "A state."),
    verdict: field(oneOf("selected", "missed"), "A verdict."),
    place: field(nullable(place), "A place."),
    others: field(list(place), "Places."),
    remark: optional(text, "A remark."),
    entry: field(foreign("another user's entry"), "An entry."),
    result: field(
      either(
        object({ outcome: field(oneOf("refused"), "An outcome.") }),
        object({
          outcome: field(oneOf("failed"), "An outcome."),
          reason: field(text, "A reason."),
        }),
      ),
      "A result.",
    ),
  }),
);

const right = {
  name: "a",
  share: 0.5,
  live: true,
  verdict: "missed",
  place: { port: 1 },
  others: [{ port: 2 }, { port: 3 }],
  entry: { any: 1 },
  result: { outcome: "failed", reason: "none" },
};

test("a value of the shape has no difference, with what may be null or absent and without", () => {
  expect(conforms(shape, [])).toEqual([]);
  expect(conforms(shape, [right, { ...right, remark: "", place: null, others: [] }])).toEqual([]);
  expect(conforms(shape, [{ ...right, result: { outcome: "refused" } }])).toEqual([]);
});

describe("a difference is seen:", () => {
  const without = (name: keyof typeof right): object => {
    const { [name]: _gone, ...rest } = right;
    return rest;
  };

  test.each([
    ["a missing field", without("name"), "[0].name is missing"],
    ["a field that is published nowhere", { ...right, more: 1 }, "[0].more is not published"],
    [
      "a missing field inside",
      { ...right, others: [{ port: 1 }, {}] },
      "[0].others[1].port is missing",
    ],
    [
      "an unknown field inside",
      { ...right, place: { port: 1, host: "" } },
      "[0].place.host is not published",
    ],
    ["null where nothing says so", { ...right, name: null }, "[0].name is null, and not text"],
    ["undefined in the place of an absent field", { ...right, remark: undefined }, "[0].remark"],
    ["another literal", { ...right, verdict: "lost" }, '[0].verdict is "lost", and not literals'],
    ["a number that is no integer", { ...right, place: { port: 1.5 } }, "[0].place.port is 1.5"],
    ["a text that is a number", { ...right, share: "1" }, '[0].share is "1", and not number'],
    ["a number that is none", { ...right, share: NaN }, "[0].share is null, and not number"],
    ["a boolean that is a text", { ...right, live: "yes" }, '[0].live is "yes", and not boolean'],
    [
      "an object in the place of a list",
      { ...right, others: {} },
      "[0].others is {}, and not list",
    ],
    [
      "a list in the place of an object",
      { ...right, place: [] },
      "[0].place is [], and not object",
    ],
    ["a list in the place of a foreign object", { ...right, entry: [] }, "[0].entry is []"],
    [
      "a field that no alternative has together with the others",
      { ...right, result: { outcome: "refused", reason: "" } },
      "[0].result.reason is not published",
    ],
  ])("%s", (_what, value, expected) => {
    const problems = conforms(shape, [value]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
  });

  test("a document of another kind", () => {
    expect(conforms(shape, {})).toEqual(["the document is {}, and not list"]);
  });
});

test("the paths of a shape begin with its name where it has one, and those of a value are among them", () => {
  const paths = pathsOf(shape);
  expect(paths).toEqual([
    "[].name",
    "[].share",
    "[].live",
    "[].verdict",
    "[].place",
    "<place>.port",
    "[].others",
    "[].remark",
    "[].entry",
    "[].result",
    "[].result.outcome",
    "[].result.reason",
  ]);
  const seen = new Set<string>();
  conforms(shape, [{ ...right, result: { outcome: "refused" } }], seen);
  const unseen = paths.filter((path) => !seen.has(path));
  expect(unseen).toEqual(["[].remark", "[].result.reason"]);
});
