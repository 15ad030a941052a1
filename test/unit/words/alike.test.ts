// Goal: what is said alike about many is read once, with a count and the first names.
import { describe, expect, test } from "vitest";
import { describeOthers, gist, groupAlike, mergeSame } from "../../../src/words/alike.js";

describe("items of a kind", () => {
  const kindOf = (text: string): string => text.charAt(0);

  test("that are many are the first and the others, in the order of the kinds", () => {
    expect(groupAlike(["a1", "b1", "a2", "a3", "a4"], kindOf)).toEqual([
      { item: "a1", others: ["a2", "a3", "a4"] },
      { item: "b1", others: [] },
    ]);
  });

  test("that are few are all shown", () => {
    const few = ["a1", "a2", "a3"];
    expect(groupAlike(few, kindOf)).toEqual(few.map((item) => ({ item, others: [] })));
  });
});

test("items that say the same of other places are one, with the words that differ", () => {
  const texts = [
    "web leads to 127.0.1.10, where nothing listens",
    "web leads to fd5e:ed00::10, where nothing listens",
    "dns leads to 127.0.1.53, where nothing listens",
  ];
  expect(mergeSame(texts, (text) => ({ key: text.slice(0, 3), text }))).toEqual([
    { item: texts[0], elsewhere: ["fd5e:ed00::10"] },
    { item: texts[2], elsewhere: [] },
  ]);
});

test("the gist of a message is the same whatever it is about", () => {
  const of = (message: string, ...names: string[]): string => gist(message, names);
  expect(of('alpha leads to 127.0.1.10:80, as "x y" does', "alpha")).toBe(
    of('beta leads to [fd5e:ed00::10]:8443, as "z" does', "beta"),
  );
  expect(of("a leads to 127.0.1.10", "a")).not.toBe(of("a is never reached", "a"));
});

test("others are counted, and the first are named", () => {
  expect(describeOthers([])).toBe("");
  expect(describeOthers(["b", "c", "d", "e"])).toBe(
    "and 4 more like it: b, c, d and 1 more (--json has all)",
  );
});
