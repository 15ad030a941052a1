// Goal: a command can say how long each of its steps took.
import { afterEach, expect, test, vi } from "vitest";
import { beginStep, recordSteps, stepTimes } from "../../src/progress.js";

const clock = vi.spyOn(performance, "now");

function at(milliseconds: number, act: () => void): void {
  clock.mockReturnValue(milliseconds);
  act();
}

afterEach(() => {
  clock.mockReset();
});

test("steps have the times between them; what was before the first is a step too, and the last ends now", () => {
  recordSteps();
  at(100, () => beginStep("reading rules.yaml"));
  at(130.25, () => beginStep("compiling"));
  clock.mockReturnValue(131);
  expect(stepTimes()).toEqual([
    { step: "starting", milliseconds: 100 },
    { step: "reading rules.yaml", milliseconds: 30.3 },
    { step: "compiling", milliseconds: 0.8 },
  ]);
});

test("steps of one group, and of one name, are counted together where the first of them stood", () => {
  recordSteps();
  at(1, () => beginStep("filling the table a", "filling the tables"));
  at(3, () => beginStep("packing"));
  at(4, () => beginStep("filling the table b", "filling the tables"));
  at(9, () => beginStep("packing"));
  clock.mockReturnValue(10);
  expect(stepTimes()).toEqual([
    { step: "starting", milliseconds: 1 },
    { step: "filling the tables", milliseconds: 7 },
    { step: "packing", milliseconds: 2 },
  ]);
});
