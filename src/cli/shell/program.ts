/**
 * Defines the command line: every command, option and example. A command's code is loaded only when
 * that command runs.
 */
import { Argument, Command, Option } from "commander";
import { ExitStatus } from "../../errors.js";
import { version } from "../../version.js";
import { definer, groups, type Define, type Execute } from "./define.js";
import { defineNouns } from "./define-nouns.js";
import { defineVerbs } from "./define-verbs.js";
import type { DemoOptions } from "../commands/demo.js";
import { helpCommand, supplement } from "./reference.js";

export const exitStatuses: readonly (readonly [ExitStatus, string])[] = [
  [ExitStatus.done, "done"],
  [
    ExitStatus.failed,
    "failed; or found what it looks for (audit, diff, doctor), left something out (import), waited in vain (wait, drain), not as expected (explain), or not all is well (status --check)",
  ],
  [ExitStatus.usage, "the command line is wrong"],
  [ExitStatus.configuration, "the configuration is wrong; nothing was changed"],
  [ExitStatus.notPossible, "not permitted, locked by another writer, or the kernel cannot"],
];

export function buildProgram(execute: Execute): Command {
  const program = new Command("ilm")
    .description(
      "Gives every daemon a private address of its own, and lets the kernel bring it the connections made to the server's real ones.",
    )
    .version(version, "-V, --version", "show the version")
    .helpOption("-h, --help", "show help")
    .commandsGroup(groups.more)
    .helpCommand(`${helpCommand} [COMMAND]`, "show help for a command")
    .addOption(new Option("--json", "print JSON, on standard output alone"))
    .addOption(
      new Option(
        "--netns <PATH>",
        "work on this network namespace: a path, or a name below /run/netns",
      ),
    )
    .addOption(new Option("--wide", "do not fit tables into the terminal"))
    .addOption(new Option("--no-color", "no colours; NO_COLOR in the environment does the same"))
    .showSuggestionAfterError(false)
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false });
  supplement(program, [
    {
      command: "ilm run -f /etc/ilm/ilm.yaml",
      purpose: "activate a configuration and follow it",
    },
    { command: "ilm apply tcp:80=127.0.1.10", purpose: "one mapping, without file or daemon" },
    { command: "ilm mappings", purpose: "which mappings are active, and who gets the connections" },
    { command: "ilm explain tcp 203.0.113.5:443", purpose: "why a connection goes where it goes" },
  ]);
  program.addHelpText(
    "after",
    `\nExit status:\n${exitStatuses.map(([status, meaning]) => `  ${status}  ${meaning}`).join("\n")}`,
  );
  const define = definer(program, execute);
  defineNouns(define);
  defineVerbs(define);
  defineMore(define, program);
  return program;
}

function defineMore(define: Define, program: Command): void {
  define({
    name: "demo",
    group: groups.more,
    summary: "show ilm at work in private network namespaces with sample daemons",
    description: [
      "Does not touch the host's own network namespace. Ends by itself.",
      "Among the daemons are two web servers that listen on every address, port 80: nginx and Python's where they are installed, otherwise Node's.",
    ],
    options: [new Option("--keep", "keep it running until Ctrl-C, to experiment with")],
    examples: [
      { command: "ilm demo", purpose: "see it work" },
      { command: "ilm demo --keep", purpose: "and play with it" },
    ],
    task: (_operands, options) => async (context) =>
      (await import("../commands/demo.js")).demo(context, options as DemoOptions),
  });
  define({
    name: "schema",
    group: groups.more,
    summary: "print the JSON Schema of the configuration, for editors",
    description: ["It is made from the definition that validates the configuration."],
    examples: [{ command: "ilm schema > ilm.schema.json", purpose: "for an editor" }],
    task: () => async (context) => {
      (await import("../commands/schema.js")).schema(context);
    },
  });
  define({
    name: "completion",
    group: groups.more,
    summary: "print a completion script for a shell",
    description: ["It completes commands, options, files, and names of mappings and services."],
    arguments: [new Argument("<SHELL>", "the shell").choices(["bash", "zsh", "fish"])],
    examples: [
      { command: "source <(ilm completion bash)", purpose: "in ~/.bashrc" },
      {
        command: "ilm completion zsh > /usr/local/share/zsh/site-functions/_ilm",
        purpose: "for everybody's zsh",
      },
      {
        command: "ilm completion fish > ~/.config/fish/completions/ilm.fish",
        purpose: "for fish",
      },
    ],
    task:
      ([shell]) =>
      async (context) => {
        (await import("../commands/completion.js")).completion(context, shell as string, program);
      },
  });
}
