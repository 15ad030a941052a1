/** Which steps a sample takes. */
import { expect, test } from "vitest";
import { random } from "../../support/random.js";
import { sample } from "../../support/steps.js";

test("a sample has one step out of each stretch of the same length", () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const chosen = sample(100, 4, random(seed));
    expect(chosen.map((step) => Math.ceil(step / 25))).toEqual([1, 2, 3, 4]);
  }
});

test("every step is in the sample of some seed, the first and the last too", () => {
  const seen = new Set<number>();
  for (let seed = 0; seed < 1000; seed += 1) {
    for (const step of sample(31, 4, random(seed))) seen.add(step);
  }
  expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 31 }, (_, i) => i + 1));
});

test("a sample of as many as there are is all of them", () => {
  for (const count of [5, 6, Number.POSITIVE_INFINITY]) {
    expect(sample(5, count, random(1))).toEqual([1, 2, 3, 4, 5]);
  }
});
