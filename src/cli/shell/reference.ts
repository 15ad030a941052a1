/**
 * Describes the command line as data, read from the parser's own definitions, for completions, man
 * pages and docs.
 */
import type { Command, Option } from "commander";
import { collect } from "./collect.js";

export interface OptionReference {
  /** The flags as in help: `-f, --file <FILE>`. */
  readonly flags: string;
  readonly short: string | null;
  readonly long: string | null;
  /** The name of the option's value; null when it takes none. */
  readonly value: string | null;
  /** The values that it takes; empty where there are too many to list. */
  readonly choices: readonly string[];
  readonly description: string;
  /** True when it may be given several times. */
  readonly isRepeated: boolean;
}

export interface ArgumentReference {
  /** The argument as in the synopsis: `<PROTOCOL>`, `[MAPPING...]`. */
  readonly term: string;
  readonly description: string;
  readonly choices: readonly string[];
}

export interface Example {
  readonly command: string;
  readonly purpose: string;
}

export interface CommandReference {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly group: string;
  /** The usage line without the program's name in front. */
  readonly usage: string;
  readonly arguments: readonly ArgumentReference[];
  readonly options: readonly OptionReference[];
  readonly examples: readonly Example[];
  readonly commands: readonly CommandReference[];
}

/** The command for help, which the parser does not list among the others. */
export const helpCommand = "help";

/** Holds the examples, for which the parser's own definitions have no place. */
const examplesOf = new WeakMap<Command, readonly Example[]>();

/** Shows the examples in the command's help, and keeps them for the reference. */
export function supplement(command: Command, list: readonly Example[]): void {
  examplesOf.set(command, list);
  const lines = list.map(({ command: line, purpose }) => `  # ${purpose}\n  ${line}`);
  command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

export function describeCommands(command: Command): CommandReference {
  return {
    name: command.name(),
    summary: command.summary(),
    description: command.description(),
    group: command.helpGroup(),
    usage: command.usage(),
    arguments: command.registeredArguments.map((argument) => {
      const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
      return {
        term: argument.required ? `<${name}>` : `[${name}]`,
        description: argument.description,
        choices: argument.argChoices ?? [],
      };
    }),
    options: command.options.filter((option) => !option.hidden).map(describeOption),
    examples: examplesOf.get(command) ?? [],
    commands: command.commands.map(describeCommands),
  };
}

function describeOption(option: Option): OptionReference {
  return {
    flags: option.flags,
    short: option.short ?? null,
    long: option.long ?? null,
    value: /[<[]([^\]>]+)[\]>]/.exec(option.flags)?.[1] ?? null,
    choices: option.argChoices ?? [],
    description: option.description,
    isRepeated: option.parseArg === collect,
  };
}
