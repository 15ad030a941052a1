/** Answers a list of questions, one after the other as they are read. */
import { errorBody } from "../../api/error-body.js";
import { ExitStatus, IlmError } from "../../errors.js";
import type { AnswerJson, RefusedLineJson } from "../../json/answer.js";
import { published } from "../../json/published.js";
import type { Rules } from "../../model/rules.js";
import { count, printable } from "../../words/text.js";
import { answerShape, describeAnswer, describeQuestion, type Answer } from "../render/answer.js";
import type { Context } from "./context.js";
import { Expectations } from "./expectation.js";
import { textOfLine, type InputLine } from "./input-lines.js";
import { parseQuestionLine, type Question } from "./question.js";

export interface Answering {
  readonly rules: Rules;
  /** Throws USAGE and NOT_FOUND for a question that cannot be answered. */
  readonly answer: (question: Question) => Answer;
  /** What is expected of questions that say nothing about it; null for nothing. */
  readonly expect: string | null;
}

/**
 * Prints an answer for each line. Throws USAGE when there is none: what wrote the list has failed,
 * and nothing was tested. Returns USAGE's status when a line is no question, or else 1 when
 * an answer is not as expected.
 */
export async function explainList(
  context: Context,
  lines: AsyncIterable<InputLine>,
  { rules, answer, expect }: Answering,
): Promise<ExitStatus> {
  const expectations = new Expectations(rules);
  const tally = { asked: 0, unexpected: 0, refused: 0 };
  for await (const line of lines) {
    let found: Answer;
    try {
      const asked = parseQuestionLine(textOfLine(line));
      if (asked === null) continue;
      found = answer({ ...asked, expect: asked.expect ?? expect });
    } catch (error) {
      if (!(error instanceof IlmError) || !isAboutTheLine(error)) throw error;
      tally.refused += 1;
      refuse(context, line.number, error);
      continue;
    }
    tally.asked += 1;
    const wrong = expectations.describeUnexpected(found);
    if (wrong !== null) tally.unexpected += 1;
    write(context, line.number, found, { wrong, asExpected: expectations.asExpected(found) });
    if (context.isBehind()) await context.caughtUp();
  }
  if (tally.asked + tally.refused === 0) {
    throw new IlmError("USAGE", "the list on standard input has no question", {
      remedy: "Write one on each line, such as: tcp 203.0.113.5:443 expect web",
    });
  }
  return conclude(context, tally);
}

function isAboutTheLine({ code }: IlmError): boolean {
  return code === "USAGE" || code === "NOT_FOUND";
}

function refuse(context: Context, line: number, error: IlmError): void {
  if (context.json) {
    const shape = published<RefusedLineJson>()({ line, error: errorBody(error) });
    context.write(`${JSON.stringify(shape)}\n`);
    return;
  }
  const remedy = error.remedy === undefined ? "" : ` ${error.remedy}`;
  context.note(`ilm: line ${line}: ${printable(`${error.message}.${remedy}`)}\n`);
}

interface Judged {
  /** Says what was expected instead; null when nothing else was. */
  readonly wrong: string | null;
  readonly asExpected: boolean | null;
}

function write(
  context: Context,
  line: number,
  answer: Answer,
  { wrong, asExpected }: Judged,
): void {
  const words = `${describeQuestion(answer)}: ${wrong ?? describeAnswer(answer)}`;
  if (context.json) {
    const shape = answerShape(answer, { line, steps: [words], asExpected });
    context.write(`${JSON.stringify(published<AnswerJson>()(shape))}\n`);
    return;
  }
  const { red } = context.colours;
  context.write(wrong === null ? `${words}\n` : `${red(`line ${line}: ${words}`)}\n`);
}

interface Tally {
  readonly asked: number;
  readonly unexpected: number;
  readonly refused: number;
}

function conclude(context: Context, { asked, unexpected, refused }: Tally): ExitStatus {
  if (unexpected > 0 && !context.json) {
    const are = unexpected === 1 ? "is" : "are";
    context.note(`ilm: ${unexpected} of ${count(asked, "answer")} ${are} not as expected\n`);
  }
  if (refused > 0) return ExitStatus.usage;
  return unexpected > 0 ? ExitStatus.failed : ExitStatus.done;
}
