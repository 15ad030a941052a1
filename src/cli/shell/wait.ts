/** `--wait SECONDS`: limits how long a change waits for its turn. */
import { IlmError } from "../../errors.js";

export interface WaitOptions {
  readonly wait?: string;
}

/** Returns the value of `--wait` in seconds, or undefined when it was not given. Throws USAGE. */
export function waitSeconds({ wait }: WaitOptions): number | undefined {
  if (wait === undefined) return undefined;
  if (/^[0-9]{1,6}(?:\.[0-9]{1,6})?$/.test(wait)) return Number(wait);
  throw new IlmError("USAGE", `--wait: ${JSON.stringify(wait)} is not a number of seconds`, {
    remedy: "Write for example `--wait 10`, or `--wait 0` for not waiting.",
  });
}
