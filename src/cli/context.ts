/** What a command knows of the terminal and of the options that every command has. */
import { isatty } from "node:tty";
import pc from "picocolors";
import { printableJson, printableLines } from "../printable.js";
import { clearProgress } from "./progress.js";
import { jsonPieces } from "./render/json.js";

export type Colours = ReturnType<typeof pc.createColors>;

export interface Context {
  /** Standard output carries one JSON document (or NDJSON) and nothing else. */
  readonly json: boolean;
  /** Columns of the terminal; Infinity when standard output is none, so that nothing is cut off in pipes. */
  readonly width: number;
  readonly colours: Colours;
  /** To standard output. What would steer a terminal is made visible, here at the latest, except what `colours` painted. */
  write(text: string): void;
  /** To standard error, made visible likewise. */
  note(text: string): void;
}

/** The options that every command has, as the parser gives them. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly netns?: string;
  /** False: `--no-color`. */
  readonly color?: boolean;
}

export function processContext(options: GlobalOptions): Context {
  const { stdout, stderr, env } = process;
  const wanted = options.color !== false && (env["NO_COLOR"] ?? "") === "";
  // stdout.isTTY is undefined on a pipe, whatever its type says, and undefined makes picocolors look at CI by itself.
  const terminal = isatty(stdout.fd) && env["TERM"] !== "dumb";
  const able = (env["FORCE_COLOR"] ?? "0") !== "0" || terminal;
  const json = options.json === true;
  const visible = (text: string): string => printableLines(text).replaceAll(PAINTED, ESCAPE);
  return {
    json,
    width: stdout.isTTY ? Math.max(stdout.columns, 40) : Infinity,
    colours: markedColours(wanted && able),
    write: (text) => {
      clearProgress();
      stdout.write(json ? printableJson(text) : visible(text));
    },
    note: (text) => {
      clearProgress();
      stderr.write(visible(text));
    },
  };
}

const ESCAPE = "\u001B";
/** Stands for the escape characters of our own colours until they are written; nobody else can know it. Private use. */
const PAINTED = `\uE000${Math.random().toString(36).slice(2)}\uE001`;

/** Colours whose escape characters are told from those in the text that they paint. */
function markedColours(enabled: boolean): Colours {
  const colours = pc.createColors(enabled);
  if (!enabled) return colours;
  const marked = Object.entries(colours).map(([name, paint]: [string, unknown]) => [
    name,
    typeof paint === "function" ? markedBy(paint as Paint) : paint,
  ]);
  return Object.fromEntries(marked) as Colours;
}

type Paint = (text: string) => string;

function markedBy(paint: Paint): Paint {
  return (text) =>
    paint(printableLines(text).replaceAll(PAINTED, ESCAPE)).replaceAll(ESCAPE, PAINTED);
}

/** Prints the value as JSON, or else the text. */
export function print(context: Context, value: unknown, text: () => string): void {
  if (!context.json) return context.write(text());
  for (const piece of jsonPieces(value)) context.write(piece);
}
