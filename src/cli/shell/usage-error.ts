/** Turns what the parser refuses into ilm's own errors. */
import { type Command, CommanderError } from "commander";
import { nearest } from "../../config/suggest.js";
import { asSentence, IlmError } from "../../errors.js";
import { helpCommand } from "./reference.js";
import { knowBefore, meantBy, meantByOption } from "./other-words.js";

/** Nobody is led by a typing error to what removes everything. */
const neverSuggested: readonly string[] = ["unload"];

/**
 * Returns a parser error as a USAGE error, or null when nothing is wrong because help or the
 * version was asked for and shown. Returns other errors unchanged. `program` has parsed the command
 * line as far as that was possible.
 */
export function translateParserError(error: unknown, program: Command): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.exitCode === 0) return null;
  const command = program.commands.find((one) => one.name() === program.args[0]) ?? program;
  const see = `See \`${command === program ? "ilm" : `ilm ${command.name()}`} --help\`.`;
  const [first = "", about] = program.args;
  if (error.code === "commander.help" && (first !== helpCommand || about === undefined)) {
    return new IlmError("USAGE", "no command was given", { remedy: see });
  }
  const [said = ""] =
    error.code === "commander.help"
      ? [`unknown command '${about}'`]
      : error.message.replace(/^error: /, "").split("\n");
  const noChoice = noChoiceOf(said);
  const message = noChoice === null ? said : describeNoChoice(noChoice);
  const remedy =
    noChoice === null ? remedyFor(said, program, command) : remedyForNoChoice(noChoice, command);
  return new IlmError("USAGE", message, { remedy: remedy === null ? see : `${remedy} ${see}` });
}

/** A value that is none of those that an argument or option takes. */
interface NoChoice {
  /** The name of the argument, or the option. */
  readonly what: string;
  readonly given: string;
  readonly choices: readonly string[];
}

/** Reads what the parser says of such a value; null when it says something else. */
function noChoiceOf(message: string): NoChoice | null {
  const [, option, given, argument, choices] =
    /^(?:option '.*(--[a-z-]+)[^']*' argument|command-argument value) '(.*)' is invalid(?: for argument '(.*)')?\. Allowed choices are (.*)\.$/.exec(
      message,
    ) ?? [];
  if (given === undefined || choices === undefined) return null;
  return { what: option ?? argument ?? "", given, choices: choices.split(", ") };
}

function describeNoChoice({ what, given, choices }: NoChoice): string {
  return `${what}: ${JSON.stringify(given)} is none of ${choices.join(", ")}`;
}

function remedyForNoChoice({ given, choices }: NoChoice, command: Command): string | null {
  const lower = given.toLowerCase();
  if (choices.includes(lower)) return `Write ${lower}, in lower case.`;
  if (command.name() === "explain" && /[.:]/.test(given)) {
    return "Write the protocol first, then what is dialled: `ilm explain tcp 203.0.113.5:443`.";
  }
  return didYouMean(nearest(given, choices), choices);
}

/** Returns what would be right, as a sentence; null when that is unknown. */
function remedyFor(message: string, program: Command, command: Command): string | null {
  const name = /^unknown command '(.*)'$/.exec(message)?.[1];
  if (name !== undefined) {
    const meant = meantBy(name);
    if (meant !== null) return meant;
    const names = program.commands.map((one) => one.name());
    return didYouMean(nearest(name, names), names);
  }
  const option = /^unknown option '(.*)'$/.exec(message)?.[1];
  if (option === undefined) return null;
  const options = [...command.options, ...program.options];
  const flags = options.flatMap(({ long }) => long ?? []);
  const near = didYouMean(nearest(option, flags), flags);
  return near ?? meantByOption(option, command.name());
}

function didYouMean(found: string | null, among: readonly string[]): string | null {
  if (found === null || neverSuggested.includes(found) || !among.includes(found)) return null;
  return knowBefore(found) ?? `Did you mean ${found}?`;
}

/**
 * Returns the USAGE error that says why `what` (an option, an operand) cannot be read, and what
 * would be right.
 */
export function usageError(what: string, reason: string, hint: string): IlmError {
  return new IlmError("USAGE", `${what}: ${reason}`, { remedy: asSentence(hint) });
}
