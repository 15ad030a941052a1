/** docs/commands.md, from the definitions of the command line. Pure. */
import type { CommandReference, OptionReference } from "../src/cli/shell/reference.js";

export function renderMarkdown(
  program: CommandReference,
  exitStatuses: readonly (readonly [number, string])[],
): string {
  const parts = [
    "# Commands",
    "<!-- Made by tools/generate-docs.ts from the definitions of the command line; `make generate` writes it anew. -->",
    program.description,
    "Nouns look and never change anything; verbs change. Every command has these options:",
    optionTable(program.options),
    "Exit status:",
    table(
      ["status", "meaning"],
      exitStatuses.map(([status, meaning]) => [String(status), meaning]),
    ),
    "With `--json` standard output carries one JSON document and nothing else. An error is `{error: {code, message, remedy, problems}}` there, with the same exit status. Fields are added in later versions, never renamed.",
    ...groupsOf(program).map(
      ([group, commands]) =>
        `${group.replace(/:$/, "")}: ${commands.map(({ name }) => `[${name}](#ilm-${name})`).join(", ")}`,
    ),
    ...program.commands.map(renderCommand),
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

function renderCommand(command: CommandReference): string {
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
  if (command.json !== "") parts.push(`With \`--json\`: \`${command.json}\``);
  return parts.join("\n\n");
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

/** Words in angle brackets would vanish as HTML. */
function escapeText(text: string): string {
  return text.replaceAll("<", "&lt;");
}
