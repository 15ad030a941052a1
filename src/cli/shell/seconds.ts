/** Options that say how long: all take the same. */
import { IlmError } from "../../errors.js";

/** The units that a length of time may have, in seconds, the longest first. */
const UNITS = { d: 86_400, h: 3600, m: 60, s: 1 } as const;
const UNIT_NAMES = Object.keys(UNITS) as (keyof typeof UNITS)[];

const NUMBER = /^\d{1,9}(?:\.\d{1,6})?$/;
const WITH_UNITS = new RegExp(
  `^${UNIT_NAMES.map((unit) => `(?:(\\d{1,9}(?:\\.\\d{1,6})?)${unit})?`).join("")}$`,
);

/** What help says of a length of time. */
export const TIMES = "60, 90s, 10m, 1h30m";

/**
 * Returns the value of an option in seconds, or undefined when it was not given: a number of
 * seconds, or numbers with units, the longest first (`90`, `90s`, `10m`, `1h30m`). Throws USAGE.
 */
export function parseSeconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (NUMBER.test(text)) return Number(text);
  const parts = text === "" ? null : WITH_UNITS.exec(text);
  if (parts !== null) {
    return UNIT_NAMES.reduce((sum, unit, at) => sum + Number(parts[at + 1] ?? 0) * UNITS[unit], 0);
  }
  throw new IlmError("USAGE", `${option}: ${JSON.stringify(text)} is not a length of time`, {
    remedy: "Write a number of seconds, or one with units: 90, 90s, 10m, 1h30m, 2d.",
  });
}
