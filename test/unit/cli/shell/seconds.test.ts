// Goal: all options that say how long take the same, and refuse the same.
import { expect, test } from "vitest";
import { parseSeconds } from "../../../../src/cli/shell/seconds.js";
import { refusal } from "../../../support/refusal.js";

test.each([
  ["0", 0],
  ["90", 90],
  ["1.5", 1.5],
  ["90s", 90],
  ["10m", 600],
  ["1h30m", 5400],
  ["1d12h", 129_600],
  ["1d1h1m1.5s", 90_061.5],
])("%s is %d seconds", (text, seconds) => {
  expect(parseSeconds("--for", text)).toBe(seconds);
});

test.each(["", "soon", "-1", "1h 30m", "30m1h", "1h30", "1hm", "1w", "1e3", "h"])(
  "%j is no length of time, and what is one is shown",
  (text) => {
    const error = refusal(() => parseSeconds("--for", text));
    expect(error.code).toBe("USAGE");
    expect(error.message).toBe(`--for: ${JSON.stringify(text)} is not a length of time`);
    expect(error.remedy).toContain("1h30m");
  },
);

test("an option that is not given has none", () => {
  expect(parseSeconds("--for", undefined)).toBeUndefined();
});
