/** Options that say how long. */
import { IlmError } from "../../errors.js";

/** The units that a length of time may have, in seconds. */
export const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * Returns the value of an option in seconds, which may have a unit (`90`, `90s`, `10m`), or
 * undefined when it was not given. Throws USAGE with this remedy.
 */
export function parseSeconds(
  option: string,
  text: string | undefined,
  remedy: string,
): number | undefined {
  if (text === undefined) return undefined;
  const [, number, unit] = /^([0-9]{1,6}(?:\.[0-9]{1,6})?)([smhd]?)$/.exec(text) ?? [];
  if (number !== undefined) return Number(number) * UNITS[(unit || "s") as keyof typeof UNITS];
  const message = `${option}: ${JSON.stringify(text)} is not a number of seconds`;
  throw new IlmError("USAGE", message, { remedy });
}
