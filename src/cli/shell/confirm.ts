/** `--confirm SECONDS`: a change that goes back by itself, unless `ilm confirm` comes. */
import { IlmError } from "../../errors.js";
import { CONFIRM_SECONDS_MAX, CONFIRM_SECONDS_MIN } from "../../rules/change.js";
import { parseSeconds } from "./seconds.js";

export interface ConfirmOptions {
  readonly confirm?: string;
}

/** Returns what a change has to say of it: nothing when the option was not given. Throws USAGE. */
export function confirmable({ confirm }: ConfirmOptions): { readonly confirmSeconds?: number } {
  const remedy = `Write for example \`--confirm 60\`: from ${CONFIRM_SECONDS_MIN} to ${CONFIRM_SECONDS_MAX} seconds.`;
  const confirmSeconds = parseSeconds("--confirm", confirm, remedy);
  if (confirmSeconds === undefined) return {};
  if (confirmSeconds < CONFIRM_SECONDS_MIN || confirmSeconds > CONFIRM_SECONDS_MAX) {
    throw new IlmError("USAGE", `--confirm: ${confirmSeconds} seconds are too few or too many`, {
      remedy,
    });
  }
  return { confirmSeconds };
}
