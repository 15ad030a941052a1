/** The seconds by which the programs know that a time has passed. */
import { expect, test } from "vitest";
import { secondAfter } from "../../../src/kernel/boot-time.js";
import { CLOCK_BOOTTIME, clockNs } from "../../../src/kernel/libc.js";

test("a time that is asked for is over when all of it has passed, and at most a second later", () => {
  for (const asked of [1, 1.5, 3600]) {
    const [before, second, after] = [
      clockNs(CLOCK_BOOTTIME),
      secondAfter(asked),
      clockNs(CLOCK_BOOTTIME),
    ];
    expect(second).toBeGreaterThanOrEqual(Number(before) / 1e9 + asked);
    expect(second).toBeLessThan(Number(after) / 1e9 + asked + 1);
  }
});
