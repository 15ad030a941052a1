// Goal: what goes once is put back at once; what goes again and again, less and less often, up to a
// minute apart.
import { expect, test } from "vitest";
import { Restored } from "../../../src/daemon/restored.js";

test("what goes once is due at once, and so is something else", () => {
  const restored = new Restored(() => 0);
  expect(restored.isDue([])).toBe(false);
  expect(restored.isDue(["sk_lookup"])).toBe(true);
  restored.note(["sk_lookup"]);
  expect(restored.isDue(["cgroup/sockops"])).toBe(true);
});

test("what goes each time that it is put back is put back with pauses that double, up to a minute", () => {
  let now = 0;
  const restored = new Restored(() => now);
  const times: number[] = [];
  for (; now < 400_000; now += 500) {
    if (!restored.isDue(["sk_lookup"])) continue;
    times.push(now / 1000);
    restored.note(["sk_lookup"]);
  }
  expect(times).toEqual([
    0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5, 123.5, 183.5, 243.5, 303.5, 363.5,
  ]);
});

test("what stayed for a minute is put back at once again", () => {
  let now = 0;
  const restored = new Restored(() => now);
  for (const at of [0, 500, 1500]) {
    now = at;
    expect(restored.isDue(["lo"])).toBe(true);
    restored.note(["lo"]);
  }
  now = 70_000;
  restored.note(["lo"]);
  now = 70_500;
  expect(restored.isDue(["lo"])).toBe(true);
});
