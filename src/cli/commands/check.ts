/** `ilm check`: reports whether the configuration is valid. Needs no privileges. */
import { errorBody } from "../../api/error-body.js";
import type { Desired } from "../../control/desired.js";
import { ExitStatus, IlmError, type Problem } from "../../errors.js";
import { type Context, print } from "../shell/context.js";
import type { CheckJson, InvalidJson } from "../../json/check.js";
import { published } from "../../json/published.js";
import { loadWanted, type SourceOptions } from "../shell/load.js";
import { noteWarnings } from "../render/error.js";
import { count } from "../../words/text.js";

export async function check(
  context: Context,
  options: SourceOptions,
  mappings: readonly string[],
): Promise<ExitStatus> {
  let desired: Desired;
  try {
    desired = await loadWanted(options, mappings);
  } catch (error) {
    if (!context.json || !(error instanceof IlmError) || error.code !== "CONFIGURATION") {
      throw error;
    }
    // Scripts get one document: what `check` found, and the error in the form that every command
    // uses.
    const { problems } = error;
    const json = published<InvalidJson>()({ ...verdict(problems), error: errorBody(error) });
    context.write(`${JSON.stringify(json, null, 2)}\n`);
    return error.exitStatus;
  }
  const { file, warnings } = desired;
  noteWarnings(context, warnings);
  await print(
    context,
    published<CheckJson>()({
      ...verdict(warnings),
      services: file.head.services.length,
      mappings: file.count,
    }),
    () =>
      `OK: ${count(file.head.services.length, "service")}, ${count(file.count, "mapping")}` +
      `${warnings.length > 0 ? `, ${count(warnings.length, "warning")}` : ""}\n`,
  );
  return ExitStatus.done;
}

function verdict(problems: readonly Problem[]) {
  return { valid: problems.every((problem) => problem.severity === "warning"), problems };
}
