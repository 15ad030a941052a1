/** Turns what the parser refuses into ilm's own errors. */
import { CommanderError } from "commander";
import { asSentence, IlmError } from "../../errors.js";

/**
 * Returns a parser error as a USAGE error, or null when nothing is wrong because help or the
 * version was asked for and shown. Returns other errors unchanged.
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

/**
 * Returns the USAGE error that says why `what` (an option, an operand) cannot be read, and what
 * would be right.
 */
export function usageError(what: string, reason: string, hint: string): IlmError {
  return new IlmError("USAGE", `${what}: ${reason}`, { remedy: asSentence(hint) });
}
