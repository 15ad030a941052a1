/** Renders docs/commands.md from the definitions of the command line. Pure. */
import type { CommandReference, OptionReference } from "../src/cli/shell/reference.js";
import type { Output } from "../src/json/outputs.js";
import type { Shape } from "../src/json/shape.js";
import { linkTo, namedIn, rowsOf } from "./reference-shapes.js";

export interface MarkdownContext {
  readonly exitStatuses: readonly (readonly [number, string])[];
  readonly program: CommandReference;
  /** What each command prints with `--json`, by the command's name. */
  readonly outputs: Readonly<Record<string, readonly Output[]>>;
  readonly failure: Output;
}

export function renderMarkdown(context: MarkdownContext): string {
  const { program, exitStatuses, outputs, failure } = context;
  const shapes = [failure, ...Object.values(outputs).flat()].map(({ shape }) => shape);
  const parts = [
    "# Commands",
    "<!-- Made by tools/generate-docs.ts from the definitions of the command line; `make generate` rewrites it. -->",
    program.description,
    table(
      ["group", "commands"],
      groupsOf(program).map(([group, commands]) => [
        group.replace(/:$/, ""),
        commands.map(({ name }) => `[${name}](#ilm-${name})`).join(", "),
      ]),
    ),
    "Commands that look never change anything; what the others change, each says. All have these options:",
    optionTable(program.options),
    "Exit status:",
    table(
      ["status", "meaning"],
      exitStatuses.map(([status, meaning]) => [String(status), meaning]),
    ),
    "With `--json`, standard output carries one JSON document and nothing else, also when the command fails; the exit status is the same. Later versions add fields and rename none. The tables below have all fields: `to[].address` is the address of each entry of `to`. What several commands print is described [once](#shapes-of-json).",
    renderOutput(failure),
    ...program.commands.map((command) => renderCommand(command, outputs[command.name] ?? [])),
    "## Shapes of JSON",
    ...[...namedIn(shapes)].map(([name, shape]) => `### ${name}\n\n${fieldTable(shape)}`),
  ];
  return `${parts.join("\n\n")}\n`;
}

function groupsOf({ commands }: CommandReference): [string, CommandReference[]][] {
  const groups = new Map<string, CommandReference[]>();
  for (const command of commands) {
    groups.set(command.group, [...(groups.get(command.group) ?? []), command]);
  }
  return [...groups];
}

function renderCommand(command: CommandReference, printed: readonly Output[]): string {
  const parts = [
    `## ilm ${command.name}`,
    fence("sh", synopsis(command)),
    escapeText(command.description),
  ];
  if (command.arguments.length > 0) {
    const rows = command.arguments.map(({ term, description }) => [code(term), description]);
    parts.push(table(["argument", "meaning"], rows));
  }
  if (command.options.length > 0) parts.push(optionTable(command.options));
  const examples = command.examples.map(({ command: line, purpose }) => `# ${purpose}\n${line}`);
  parts.push(fence("sh", examples.join("\n")));
  parts.push(...printed.map(renderOutput));
  return parts.join("\n\n");
}

function renderOutput({ when, shape }: Output): string {
  const lead = `With \`--json\`${when}:`;
  if (shape.kind === "object" && shape.name !== null) return `${lead} ${linkTo(shape.name)}.`;
  return `${lead} ${shape.kind === "list" ? "a list of objects" : "an object"}.\n\n${fieldTable(shape)}`;
}

function fieldTable(shape: Shape): string {
  const rows = rowsOf(shape).map(({ path, value, meaning }) => [code(path), value, meaning]);
  return table(["field", "value", "meaning"], rows);
}

export function synopsis(command: CommandReference): string {
  const terms = command.arguments.map(({ term }) => term);
  const options = command.options.map(({ flags }) => `[${flags.replace(/^-\w, /, "")}]`);
  return ["ilm", command.name, ...options, ...terms].join(" ");
}

function optionTable(options: readonly OptionReference[]): string {
  return table(
    ["option", "meaning"],
    options.map(({ flags, description }) => [code(flags), description]),
  );
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(headings), `|${headings.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

function fence(language: string, text: string): string {
  return `\`\`\`${language}\n${text}\n\`\`\``;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** Escapes words in angle brackets, which would vanish as HTML. */
function escapeText(text: string): string {
  return text.replaceAll("<", "&lt;");
}
