/** `--wait SECONDS`: limits how long a change waits for its turn. */
import { parseSeconds } from "./seconds.js";

export interface WaitOptions {
  readonly wait?: string;
}

/** Returns the value of `--wait` in seconds, or undefined when it was not given. Throws USAGE. */
export function waitSeconds({ wait }: WaitOptions): number | undefined {
  const remedy = "Write for example `--wait 10`, or `--wait 0` for not waiting.";
  return parseSeconds("--wait", wait, remedy);
}
