/** Renders completion scripts for shells from the parser's own definitions. Pure. */
import {
  helpCommand,
  type ArgumentReference,
  type CommandReference,
  type OptionReference,
} from "./reference.js";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

export function isShell(text: string): text is Shell {
  return shells.some((shell) => shell === text);
}

export function renderCompletion(shell: Shell, program: CommandReference): string {
  switch (shell) {
    case "bash":
      return bash(program);
    case "zsh":
      return zsh(program);
    case "fish":
      return fish(program);
  }
}

/** The help option, which every command has although the parser does not list it. */
const help: OptionReference = {
  flags: "-h, --help",
  short: "-h",
  long: "--help",
  value: null,
  choices: [],
  isRepeated: false,
  description: "show help",
};

function optionsOf(program: CommandReference, command: CommandReference | null) {
  const own = command === null ? [] : command.options;
  return [...own, ...program.options, help];
}

function flagsOf(options: readonly OptionReference[]): string[] {
  return options.flatMap(({ short, long }) => [short, long]).filter((flag) => flag !== null);
}

/** What completes a value or operand, judged by its name in the help. */
type Source =
  | "file"
  | "netns"
  | "interface"
  | "mapping"
  | "added"
  | "service"
  | "waited"
  | "drained"
  | "none";

/** The commands that print what completes, one on a line. They print nothing where they cannot. */
const printing: Partial<Record<Source, string>> = {
  netns: "ls /run/netns 2>/dev/null",
  interface: "ls /sys/class/net 2>/dev/null",
  mapping: "ilm mappings --names 2>/dev/null",
  added: "ilm mappings --added --names 2>/dev/null",
  service: "ilm address --names 2>/dev/null",
  waited: "ilm mappings --names 2>/dev/null; ilm address --names 2>/dev/null",
  // What is no destination is a sentence.
  drained: "ilm drain 2>/dev/null | awk NF==1",
};

function sourceOf(valueName: string): Source {
  if (valueName === "FILE") return "file";
  if (valueName === "PATH") return "netns";
  if (valueName === "NAME") return "interface";
  if (valueName === "DESTINATION") return "service";
  if (valueName === "MAPPING...") return "mapping";
  return "none";
}

function choicesOf(command: CommandReference): readonly string[] {
  return command.arguments.flatMap((argument: ArgumentReference) => argument.choices);
}

/** What the names in a command's operands are of. */
const namesIn: Readonly<Record<string, Source>> = {
  mappings: "mapping",
  wait: "waited",
  remove: "added",
  address: "service",
  adopt: "service",
  drain: "service",
  undrain: "drained",
};

function operandOf({ name, arguments: all }: CommandReference): Source {
  const terms = all.map(({ term }) => term.replace(/[^A-Z]/g, ""));
  if (terms.includes("FILE")) return "file";
  return terms.includes("NAME") || terms.includes("DESTINATION")
    ? (namesIn[name] ?? "none")
    : "none";
}

function bash(program: CommandReference): string {
  const names = program.commands.map((command) => command.name);
  const withValue = valued(program);
  const cases = program.commands.map((command) => {
    const flags = `words="${flagsOf(optionsOf(program, command)).join(" ")}"`;
    const operand = bashOperand(operandOf(command), choicesOf(command));
    // Options only for who begins one, where something else may stand.
    const words =
      operand === null ? flags : `if [[ $current == -* ]]; then ${flags}; else ${operand}; fi`;
    return `    ${command.name}) ${words} ;;`;
  });
  return `# bash completion for ilm; made by "ilm completion bash"
_ilm() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command="" index words=""
  local whole=\${COMP_LINE:0:\${COMP_POINT:-0}} before=""
  COMPREPLY=()
  # Names have colons, at which bash splits words; what it puts in is what follows the last one.
  whole=\${whole##*[[:space:]]}
  if [[ $whole == *:* && $COMP_WORDBREAKS == *:* ]]; then
    before=\${whole%"\${whole##*:}"} current=$whole
  fi
  case $previous in
${withValue.map((option) => `    ${option.flags.join("|")}) ${bashValue(option)}; return ;;`).join("\n")}
  esac
  for ((index = 1; index < COMP_CWORD; index++)); do
    case \${COMP_WORDS[index]} in
${withValue.map(({ flags }) => `      ${flags.join("|")}) index=$((index + 1)) ;;`).join("\n")}
      -*) ;;
      *) command=\${COMP_WORDS[index]}; break ;;
    esac
  done
  case $command in
    "") words="${[...names, helpCommand, ...flagsOf(optionsOf(program, null))].join(" ")}" ;;
    ${helpCommand}) words="${names.join(" ")}" ;;
${cases.join("\n")}
    *) words="" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  COMPREPLY=("\${COMPREPLY[@]#"$before"}")
}
complete -F _ilm ilm
`;
}

interface Valued {
  readonly flags: readonly string[];
  readonly source: Source;
  readonly choices: readonly string[];
}

/** Returns the options that take a value, each once although several commands have it. */
function valued(program: CommandReference): Valued[] {
  const found = new Map<string, Valued>();
  for (const option of [program, ...program.commands].flatMap((command) => command.options)) {
    if (option.value === null) continue;
    const { choices } = option;
    found.set(option.flags, { flags: flagsOf([option]), source: sourceOf(option.value), choices });
  }
  return [...found.values()];
}

function bashValue({ source, choices }: Valued): string {
  if (choices.length > 0) {
    return `mapfile -t COMPREPLY < <(compgen -W "${choices.join(" ")}" -- "$current")`;
  }
  if (source === "file") return bashFiles;
  const command = printing[source];
  if (command === undefined) return "COMPREPLY=()";
  return `mapfile -t COMPREPLY < <(compgen -W "$(${command})" -- "$current")`;
}

/** Files, and what else is in `words`. */
const bashFiles =
  'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -W "$words" -f -- "$current")';

/** Returns the command that completes an operand, or null where nothing does. */
function bashOperand(source: Source, choices: readonly string[]): string | null {
  const command = printing[source];
  const parts = [
    ...(choices.length === 0 ? [] : [`words="${choices.join(" ")}"`]),
    ...(source === "file" ? [bashFiles, "return"] : []),
    ...(command === undefined ? [] : [`words="$(${command})"`]),
  ];
  return parts.length === 0 ? null : parts.join("; ");
}

function zsh(program: CommandReference): string {
  const commands = [
    ...program.commands,
    { name: helpCommand, summary: "show help for a command" },
  ].map(({ name, summary }) => `    ${zshQuote(`${name}:${summary}`)}`);
  const cases = program.commands.map((command) => {
    const lines = [
      ...optionsOf(program, command).flatMap(zshOption),
      ...command.arguments.map((argument) => zshArgument(argument, operandOf(command))),
    ];
    return `        ${command.name})\n          _arguments ${lines.join(" \\\n            ")} ;;`;
  });
  return `#compdef ilm
# zsh completion for ilm; made by "ilm completion zsh"
_ilm() {
  local -a commands
  local state line
  commands=(
${commands.join("\n")}
  )
  _arguments -C ${optionsOf(program, null).flatMap(zshOption).join(" \\\n    ")} \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $line[1] in
${cases.join("\n")}
        ${helpCommand}) _describe command commands ;;
      esac ;;
  esac
}
if [ "$funcstack[1]" = "_ilm" ]; then _ilm "$@"; else compdef _ilm ilm; fi
`;
}

function zshOption(option: OptionReference): string[] {
  const { value, choices, description, isRepeated } = option;
  const text = `[${description.replace(/[[\]]/g, "\\$&")}]`;
  const rest = value === null ? text : `${text}:${value}:${zshValues(choices, sourceOf(value))}`;
  const flags = flagsOf([option]);
  const apart = isRepeated ? "*" : flags.length > 1 ? `(${flags.join(" ")})` : "";
  return flags.map((flag) => zshQuote(`${apart}${flag}${rest}`));
}

function zshArgument({ term, description, choices }: ArgumentReference, source: Source): string {
  const action = zshValues(choices, source);
  const place = term.includes("...") ? "*" : "";
  return zshQuote(`${place}:${description.replaceAll(":", "\\:")}:${action}`);
}

function zshValues(choices: readonly string[], source: Source): string {
  return choices.length === 0 ? zshAction(source) : `(${choices.join(" ")})`;
}

function zshAction(source: Source): string {
  switch (source) {
    case "file":
      return "_files";
    case "netns":
      return "_files -W /run/netns";
    case "interface":
      return "_net_interfaces";
    case "none":
      return " ";
    default:
      return `{ compadd -- \${(f)"$(${printing[source] ?? ""})"} }`;
  }
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fish(program: CommandReference): string {
  const names = program.commands.map(({ name }) => name).join(" ");
  const lines = [
    '# fish completion for ilm; made by "ilm completion fish"',
    "complete -c ilm -f",
    `complete -c ilm -n __fish_use_subcommand -a ${helpCommand} -d 'show help for a command'`,
    `complete -c ilm -n '__fish_seen_subcommand_from ${helpCommand}' -a '${names}'`,
    ...optionsOf(program, null).map((option) => fishOption(option, "")),
  ];
  for (const command of program.commands) {
    lines.push(
      `complete -c ilm -n __fish_use_subcommand -a ${command.name} -d ${fishQuote(command.summary)}`,
    );
    const when = ` -n '__fish_seen_subcommand_from ${command.name}'`;
    lines.push(...command.options.map((option) => fishOption(option, when)));
    const choices = choicesOf(command);
    if (choices.length > 0) lines.push(`complete -c ilm${when} -a '${choices.join(" ")}'`);
    const action = fishAction(operandOf(command));
    if (action !== "") lines.push(`complete -c ilm${when}${action}`);
  }
  return `${lines.join("\n")}\n`;
}

function fishOption(option: OptionReference, when: string): string {
  const { short, long, value, choices, description } = option;
  const flags = [
    short === null ? "" : ` -s ${short.slice(1)}`,
    long === null ? "" : ` -l ${long.slice(2)}`,
  ].join("");
  const operand = value === null ? "" : fishValues(choices, sourceOf(value));
  return `complete -c ilm${when}${flags}${operand} -d ${fishQuote(description)}`;
}

/** Returns what completes the value of an option; files only where it is one. */
function fishValues(choices: readonly string[], source: Source): string {
  if (source === "file") return ` -r${fishAction(source)}`;
  return ` -x${choices.length === 0 ? fishAction(source) : ` -a '${choices.join(" ")}'`}`;
}

function fishAction(source: Source): string {
  if (source === "file") return " -F";
  const command = printing[source];
  return command === undefined ? "" : ` -a '(command ${command})'`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
