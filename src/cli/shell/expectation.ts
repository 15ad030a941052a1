/** `--expect`: how a command ends by its answer. */
import { ExitStatus } from "../../errors.js";
import type { Rules } from "../../model/rules.js";
import { describeUnexpected, isAsExpected, type Answer } from "../render/answer.js";
import type { Context } from "./context.js";

/** Says it when the answer is not as expected, and returns 1 then. */
export function concludeOne(context: Context, answer: Answer, rules: Rules): ExitStatus {
  const { expect: expected } = answer.question;
  if (expected === null || isAsExpected(answer, expected)) return ExitStatus.done;
  if (!context.json) context.note(`ilm: ${describeUnexpected(answer, expected, rules)}\n`);
  return ExitStatus.failed;
}
