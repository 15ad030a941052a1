/** How a command of the command line is defined. */
import { Argument, Option, type Command } from "commander";
import type { ExitStatus } from "../../errors.js";
import { collect } from "./collect.js";
import type { Context, GlobalOptions } from "./context.js";
import { supplement, type Example } from "./reference.js";
import { TIMES } from "./seconds.js";

/** Runs a command. Returns its exit status; no status means done. */
export type Task = (context: Context) => Promise<ExitStatus | void> | void;
/** Runs a task with the global options. */
export type Execute = (options: GlobalOptions, task: Task) => Promise<void>;

/** The headings of the groups of commands in the program's help. */
export const groups = { look: "Look:", change: "Change:", more: "More:" } as const;

export const MAPPING_WORDS =
  "A mapping as an argument is PROTOCOL:PORT=DESTINATION, such as tcp:8080=127.0.1.10:80 or udp:53=[fd5e:ed00::53].";

export interface Definition {
  readonly name: string;
  readonly group: string;
  readonly summary: string;
  /**
   * Describes the command beyond its summary. Each entry is a paragraph; the first does not repeat
   * the summary.
   */
  readonly description: readonly string[];
  readonly arguments?: readonly Argument[];
  readonly options?: readonly Option[];
  readonly examples: readonly Example[];
  /**
   * Returns the task for the operands as the parser returns them (a list for a variadic one) and
   * the options.
   */
  readonly task: (operands: readonly unknown[], options: unknown) => Task;
}

export type Define = (definition: Definition) => void;

export function definer(program: Command, execute: Execute): Define {
  return ({ name, group, summary, description, examples, task, ...rest }) => {
    const command = program
      .command(name)
      .helpGroup(group)
      .summary(summary)
      .description([`${capitalise(summary)}.`, ...description].join("\n\n"))
      .helpOption("-h, --help", "show help");
    for (const argument of rest.arguments ?? []) command.addArgument(argument);
    for (const option of rest.options ?? []) command.addOption(option);
    supplement(command, examples);
    command.action(async (...given: unknown[]) => {
      // The parser passes the operands, the options, and the command itself.
      const operands = given.slice(0, -2);
      await execute(program.opts<GlobalOptions>(), task(operands, given.at(-2)));
    });
  };
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const fileOption = (): Option =>
  new Option(
    "-f, --file <FILE>",
    "configuration: a file, a folder of files, or - for standard input; several are read as one",
  ).argParser(collect);
export const waitOption = (): Option =>
  new Option(
    "--wait <TIME>",
    `give up when another writer keeps this change waiting for this long (${TIMES}; default: 30)`,
  );
/** How much of a difference is shown. `when` precedes the help, where not each use shows one. */
export const differencesOptions = (when = ""): Option[] => [
  new Option("--summary", `${when}show how much differs, in one line`),
  limitOption(`${when}how much of each kind to show at most`),
];
export const dryRunOption = (): Option =>
  new Option(
    "--dry-run",
    "change nothing: show what would change, as `ilm diff` does, or why it would fail",
  );
export const confirmOption = (): Option =>
  new Option(
    "--confirm <TIME>",
    `go back by itself after this time (${TIMES}), unless \`ilm confirm\` comes; no process is needed for that`,
  );
export const timingOption = (): Option =>
  new Option("--timing", "show how long each step took (always included in --json)");
export const overNewerOption = (): Option =>
  new Option(
    "--over-newer",
    "also replace rules that a newer version of ilm made; mappings added at run time and counters are lost",
  );
export const replaceOption = (): Option =>
  new Option(
    "--replace",
    "let mappings that are given without a file take the place of the active file's, and a file that of mappings given as arguments",
  );
export const namesOption = (): Option =>
  new Option("--names", "only the names, one on a line, for scripts and completion");
export const limitOption = (description: string): Option =>
  new Option("--limit <NUMBER>", description);
export const mappingsArgument = (): Argument =>
  new Argument("[MAPPING...]", "mappings beside those of the file, e.g. tcp:8080=127.0.1.10:80");
