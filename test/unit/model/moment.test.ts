// Goal: people read times in the host's zone, with the date where it is not today.
import { expect, test } from "vitest";
import { formatMoment, formatTime } from "../../../src/model/moment.js";

/** In the host's zone, whichever that is. */
const at = new Date(2026, 10, 30, 4, 5, 6, 789);

test.each([
  ["the same day", new Date(2026, 10, 30, 23, 59), "04:05:06", "04:05"],
  ["the next day", new Date(2026, 11, 1, 0, 0), "2026-11-30 04:05:06", "2026-11-30 04:05"],
  ["a year later", new Date(2027, 10, 30, 4, 5), "2026-11-30 04:05:06", "2026-11-30 04:05"],
])("on %s a moment reads by the host's clock", (_, now, moment, time) => {
  expect(formatMoment(at.toISOString(), now)).toBe(moment);
  expect(formatTime(at, now)).toBe(time);
});
