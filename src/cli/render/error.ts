/** Shows errors: to people on standard error, to scripts as one JSON object on standard output. */
import { errorBody, foreseen } from "../../api/error-body.js";
import type { FailureJson } from "../../json/common.js";
import { published } from "../../json/published.js";
import { ExitStatus, formatProblem, type Problem } from "../../errors.js";
import type { Context } from "../shell/context.js";
import { describeOthers, gist, groupAlike } from "../../words/alike.js";
import { indent, printable } from "../../words/text.js";

/** Shows the error and returns the exit status. */
export function reportError(context: Context, error: unknown): ExitStatus {
  const body = errorBody(error);
  if (context.json) {
    const json = published<FailureJson>()({ error: body });
    context.write(`${JSON.stringify(json, null, 2)}\n`);
  } else {
    context.note(`ilm: ${body.message}\n`);
    noteProblems(body.problems, (text) => {
      context.note(`${indent(text)}\n`);
    });
    if (body.remedy !== null) context.note(`${indent(body.remedy)}\n`);
  }
  const known = foreseen(error);
  if (known !== undefined) return known.exitStatus;
  if (!context.json) context.note(indent(bugReport(error)));
  return ExitStatus.failed;
}

/** Describes an unforeseen error, with the stack that whoever fixes it needs. */
function bugReport(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  return `This is a bug in ilm. Please report it, with this stack:\n${stack}\n`;
}

/** Shows the warnings of a valid configuration on standard error; with `--json` it shows none. */
export function noteWarnings(context: Context, warnings: readonly Problem[]): void {
  if (context.json) return;
  noteProblems(warnings, (text) => {
    context.note(`ilm: ${text}\n`);
  });
}

/**
 * Tells of problems, each on one line, whatever the name of its file. Warnings that say the same
 * are told once, with how many there are; an error never stands for another.
 */
function noteProblems(problems: readonly Problem[], note: (text: string) => void): void {
  const kindOf = ({ problem, index }: { problem: Problem; index: number }): string =>
    problem.severity === "warning" ? gistOf(problem) : `error ${index}`;
  const numbered = problems.map((problem, index) => ({ problem, index }));
  for (const { item, others } of groupAlike(numbered, kindOf)) {
    const more = describeOthers(others.map(({ problem }) => nameOf(problem)));
    const line = printable(formatProblem(item.problem));
    note(more === "" ? line : `${line}\n${indent(more)}`);
  }
}

/** What a problem says, whichever mapping it is about. */
function gistOf({ path, message, hint }: Problem): string {
  const names = path.split(" ");
  return `${gist(message, names)}; ${gist(hint, names)}`;
}

/** Names what a problem is about: its mapping, or its place. */
function nameOf({ path, file, line }: Problem): string {
  const [, name] = /^mapping (.*)$/.exec(path) ?? [];
  return name ?? (line > 0 ? `${file}:${line}` : file);
}
