/** `ilm completion SHELL`: prints a script that completes this very command line. */
import { IlmError } from "../../errors.js";
import { isShell, renderCompletion, shells } from "../shell/completions.js";
import type { Context } from "../shell/context.js";
import { describeCommands, type CommandReference } from "../shell/reference.js";

export function completion(
  context: Context,
  shell: string,
  program: Parameters<typeof describeCommands>[0],
): void {
  if (!isShell(shell)) {
    throw new IlmError("USAGE", `there is no completion for ${JSON.stringify(shell)}`, {
      remedy: `There is one for ${shells.join(", ")}.`,
    });
  }
  const reference: CommandReference = describeCommands(program);
  context.write(renderCompletion(shell, reference));
}
