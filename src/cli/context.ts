/** What a command knows of the terminal and of the options that every command has. */
import { isatty } from "node:tty";
import pc from "picocolors";
import { clearProgress } from "./progress.js";
import { jsonPieces } from "./render/json.js";

export type Colours = ReturnType<typeof pc.createColors>;

export interface Context {
  /** Standard output carries one JSON document (or NDJSON) and nothing else. */
  readonly json: boolean;
  /** Columns of the terminal; Infinity when standard output is none, so that nothing is cut off in pipes. */
  readonly width: number;
  readonly colours: Colours;
  /** To standard output. */
  write(text: string): void;
  /** To standard error. */
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
  return {
    json: options.json === true,
    width: stdout.isTTY ? Math.max(stdout.columns, 40) : Infinity,
    colours: pc.createColors(wanted && able),
    write: (text) => {
      clearProgress();
      stdout.write(text);
    },
    note: (text) => {
      clearProgress();
      stderr.write(text);
    },
  };
}

/** Prints the value as JSON, or else the text. */
export function print(context: Context, value: unknown, text: () => string): void {
  if (!context.json) return context.write(text());
  for (const piece of jsonPieces(value)) context.write(piece);
}
