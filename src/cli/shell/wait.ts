/** `--wait TIME`: limits how long a change waits for its turn. */
import { parseSeconds } from "./seconds.js";

export interface WaitOptions {
  readonly wait?: string;
}

/** Returns the value of `--wait` in seconds, or undefined when it was not given. Throws USAGE. */
export function waitSeconds({ wait }: WaitOptions): number | undefined {
  return parseSeconds("--wait", wait);
}
