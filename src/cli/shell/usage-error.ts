/** What the parser refuses, in the words of our own errors. */
import { CommanderError } from "commander";
import { asSentence, IlmError } from "../../errors.js";

/**
 * Null: nothing is wrong, help or the version was asked for and shown. Other errors than the
 * parser's are passed on.
 */
export function translateParserError(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.exitCode === 0) return null;
  if (error.code === "commander.help") {
    return new IlmError("USAGE", "no command was given", { remedy: "See `ilm --help`." });
  }
  const [first = "", ...rest] = error.message.replace(/^error: /, "").split("\n");
  const [, given, choices] =
    /value '([^']*)' is invalid.*Allowed choices are (.*)\.$/.exec(first) ?? [];
  const lower = given?.toLowerCase() ?? "";
  if (choices?.split(", ").includes(lower) === true) {
    return new IlmError("USAGE", first, { remedy: `Write ${lower}, in lower case.` });
  }
  const suggestion = /\(Did you mean (.*?)\??\)/.exec(rest.join(" "))?.[1];
  return new IlmError("USAGE", first, {
    remedy:
      suggestion === undefined
        ? "See `ilm --help`."
        : `Did you mean ${suggestion}? See \`ilm --help\`.`,
  });
}

/** `what` (an option, an operand) cannot be read: why, and what would be right. */
export function usageError(what: string, reason: string, hint: string): IlmError {
  return new IlmError("USAGE", `${what}: ${reason}`, { remedy: asSentence(hint) });
}
