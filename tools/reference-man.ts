/** Renders man pages (man(7) macros) from the definitions of the command line. Pure. */
import type { CommandReference, OptionReference } from "../src/cli/shell/reference.js";
import type { Output } from "../src/json/outputs.js";
import { namedIn, onOneLine } from "./reference-shapes.js";
import { block, bold, entry, escape, paragraphs, prose, renderPage, section } from "./roff.js";

export interface ManContext {
  readonly version: string;
  readonly exitStatuses: readonly (readonly [number, string])[];
  readonly program: CommandReference;
  /** What each command prints with `--json`, by the command's name. */
  readonly outputs: Readonly<Record<string, readonly Output[]>>;
  readonly failure: Output;
}

/** Returns the content of ilm.1 and of each ilm-COMMAND.1, by file name. */
export function renderManPages(context: ManContext): Map<string, string> {
  const { program } = context;
  const pages = new Map([["ilm.1", programPage(context)]]);
  for (const command of program.commands) {
    pages.set(`ilm-${command.name}.1`, commandPage(context, command));
  }
  return pages;
}

function programPage(context: ManContext): string {
  const { program, exitStatuses, failure } = context;
  return page(context, "ilm", "give every daemon a private address of its own", [
    section("SYNOPSIS", ".B ilm\n[OPTION...] COMMAND [ARGUMENT...]"),
    section("DESCRIPTION", paragraphs(program.description)),
    section(
      "COMMANDS",
      program.commands
        .map(({ name, summary }) => entry(`${bold(`ilm-${name}`)}(1)`, summary))
        .join("\n"),
    ),
    section("OPTIONS", options(program.options)),
    section(
      "EXIT STATUS",
      exitStatuses.map(([status, meaning]) => entry(String(status), meaning)).join("\n"),
    ),
    section(
      "FILES",
      [
        entry(
          "/sys/fs/bpf/ilm/NETNS/",
          "the active rules of the network namespace with that inode number",
        ),
        entry("/run/ilm/NETNS.lock", "held by whoever changes it"),
        entry(
          "/run/ilm/ilm.sock",
          "API and metrics of ilm run, for root and those it gives rights",
        ),
        entry("/run/ilm/NETNS.sock", "the same, in a network namespace other than the host's own"),
        entry("/var/lib/ilm/", "the history of changes, and configurations that were right"),
        entry("/etc/ilm/ilm.yaml", "what ilm.service activates and follows"),
        entry("/etc/default/ilm", "options of ilm run for ilm.service"),
      ].join("\n"),
    ),
    section("JSON", json([failure])),
    section("EXAMPLES", examples(program)),
    section("SEE ALSO", ".BR ilm.yaml (5)"),
  ]);
}

function commandPage(context: ManContext, command: CommandReference): string {
  const { program, outputs } = context;
  const printed = outputs[command.name] ?? [];
  const own = command.options.length === 0 ? "" : `${options(command.options)}\n`;
  const operands = command.arguments.map(({ term, description }) =>
    entry(escape(term), description),
  );
  const terms = [
    ...command.options.map(({ flags }) => `[${flags.replace(/^-\w, /, "")}]`),
    ...command.arguments.map(({ term }) => term),
  ];
  return page(context, `ilm-${command.name}`, command.summary, [
    section("SYNOPSIS", `.B ilm ${escape(command.name)}\n${escape(terms.join(" "))}`.trimEnd()),
    section("DESCRIPTION", paragraphs(command.description)),
    ...(operands.length === 0 ? [] : [section("ARGUMENTS", operands.join("\n"))]),
    section("OPTIONS", own + options(program.options)),
    ...(printed.length === 0 ? [] : [section("JSON", json(printed))]),
    section("EXAMPLES", examples(command)),
    section("SEE ALSO", readsFile(command) ? ".BR ilm (1),\n.BR ilm.yaml (5)" : ".BR ilm (1)"),
  ]);
}

function page(
  { version }: ManContext,
  name: string,
  purpose: string,
  sections: readonly string[],
): string {
  const madeFrom = "the definitions of the command line";
  return renderPage({ name, number: 1, purpose, version, madeFrom, sections });
}

function readsFile({ options: list }: CommandReference): boolean {
  return list.some(({ long }) => long === "--file");
}

function options(list: readonly OptionReference[]): string {
  return list.map(({ flags, description }) => entry(bold(flags), description)).join("\n");
}

function json(printed: readonly Output[]): string {
  const documents = printed.map(
    ({ when, shape }) => `${prose(`With \`--json\`${when}:`)}\n.PP\n${escape(onOneLine(shape))}`,
  );
  return [...documents, ...named(printed)].join("\n.PP\n");
}

/** Returns what the names in these outputs stand for. */
function named(printed: readonly Output[]): string[] {
  const found = namedIn(printed.map(({ shape }) => shape));
  return [...found].map(([name, shape]) => escape(`${name}: ${onOneLine(shape)}`));
}

function examples(command: CommandReference): string {
  return command.examples
    .map(({ command: line, purpose }) => `.PP\n${prose(purpose)}:\n${block(line)}`)
    .join("\n");
}
