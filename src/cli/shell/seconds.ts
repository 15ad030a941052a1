/** Options that say how long. */
import { IlmError } from "../../errors.js";

/**
 * Returns the value of an option in seconds, or undefined when it was not given. Throws USAGE with
 * this remedy.
 */
export function parseSeconds(
  option: string,
  text: string | undefined,
  remedy: string,
): number | undefined {
  if (text === undefined) return undefined;
  if (/^[0-9]{1,6}(?:\.[0-9]{1,6})?$/.test(text)) return Number(text);
  const message = `${option}: ${JSON.stringify(text)} is not a number of seconds`;
  throw new IlmError("USAGE", message, { remedy });
}
