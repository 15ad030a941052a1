/** `--confirm TIME`: a change that goes back by itself, unless `ilm confirm` comes. */
import { IlmError } from "../../errors.js";
import { CONFIRM_SECONDS_MAX, CONFIRM_SECONDS_MIN } from "../../rules/change.js";
import type { ChangeResult } from "../../api/result.js";
import type { Context } from "./context.js";
import { parseSeconds } from "./seconds.js";

export interface ConfirmOptions {
  readonly confirm?: string;
}

/** Returns what a change has to say of it: nothing when the option was not given. Throws USAGE. */
export function confirmable({ confirm }: ConfirmOptions): { readonly confirmSeconds?: number } {
  const confirmSeconds = parseSeconds("--confirm", confirm);
  if (confirmSeconds === undefined) return {};
  if (confirmSeconds < CONFIRM_SECONDS_MIN || confirmSeconds > CONFIRM_SECONDS_MAX) {
    throw new IlmError("USAGE", `--confirm: ${confirmSeconds} seconds are too few or too many`, {
      remedy: `Write for example \`--confirm 60\` or \`--confirm 10m\`: from ${CONFIRM_SECONDS_MIN} to ${CONFIRM_SECONDS_MAX} seconds.`,
    });
  }
  return { confirmSeconds };
}

/** Warns whoever asked for a change that goes back, and gets none that waits. */
export function noteUnlessPending(
  context: Context,
  { confirmSeconds }: { readonly confirmSeconds?: number },
  { pending }: Pick<ChangeResult, "pending">,
): void {
  if (confirmSeconds === undefined || pending !== null) return;
  context.note(
    "warning: these rules were active already: nothing waits for `ilm confirm`, and nothing goes back by itself (a running daemon applies its file when it changes: give --confirm a copy)\n",
  );
}
