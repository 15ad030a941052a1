/** What a command knows of the terminal and of the global options. */
import { once } from "node:events";
import { isatty } from "node:tty";
import pc from "picocolors";
import type { Published } from "../../json/published.js";
import { printableJson, printableLines } from "../../printable.js";
import { clearProgress } from "./progress.js";
import { type Reach, hostReach } from "./reach.js";
import { jsonPieces } from "../render/json.js";

export type Colours = ReturnType<typeof pc.createColors>;

export interface Context {
  /** Gives access to the host that the command works on. */
  readonly reach: Reach;
  /** True when standard output carries one JSON document (or NDJSON) and nothing else. */
  readonly json: boolean;
  /**
   * The width of the terminal in columns, at least 40. Infinity with `--wide`, and when standard
   * output is no terminal.
   */
  readonly width: number;
  readonly colours: Colours;
  /**
   * Writes to standard output. Makes visible what would steer a terminal, except what `colours`
   * painted. Text that the reader has not taken yet stays in memory: see `caughtUp`.
   */
  write(text: string): void;
  /** Reports whether more was written to standard output than read. */
  isBehind(): boolean;
  /**
   * Resolves when the reader of standard output has taken what was written, or when `givenUp`
   * aborts.
   */
  caughtUp(givenUp?: AbortSignal): Promise<void>;
  /**
   * Writes to standard error. Makes visible what would steer a terminal, except what `colours`
   * painted.
   */
  note(text: string): void;
}

/** The options that every command has, as the parser returns them. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly netns?: string;
  /** False when `--no-color` was given. */
  readonly color?: boolean;
  /** True when tables are not to be fitted into the terminal. */
  readonly wide?: boolean;
}

export function processContext(options: GlobalOptions): Context {
  const { stdout, stderr, env } = process;
  const wanted = options.color !== false && (env["NO_COLOR"] ?? "") === "";
  // stdout.isTTY is undefined on a pipe, whatever its type says, and undefined makes picocolors
  // look at CI by itself.
  const terminal = isatty(stdout.fd) && env["TERM"] !== "dumb";
  const able = (env["FORCE_COLOR"] ?? "0") !== "0" || terminal;
  const json = options.json === true;
  const visible = (text: string): string => printableLines(text).replaceAll(PAINTED, ESCAPE);
  return {
    reach: hostReach,
    json,
    width: stdout.isTTY && options.wide !== true ? Math.max(stdout.columns, 40) : Infinity,
    colours: markedColours(wanted && able),
    write: (text) => {
      clearProgress();
      stdout.write(json ? printableJson(text) : visible(text));
    },
    isBehind: isStdoutBehind,
    caughtUp: async (givenUp) => {
      if (!isStdoutBehind()) return;
      try {
        await once(stdout, "drain", givenUp && { signal: givenUp });
      } catch (error) {
        if (givenUp?.aborted !== true) throw error;
      }
    },
    note: (text) => {
      clearProgress();
      stderr.write(visible(text));
    },
  };
}

const ESCAPE = "\u001B";
/**
 * Stands for the escape characters of ilm's own colours until they are written. It is random,
 * between private-use characters, so that no text of others can contain it.
 */
const PAINTED = `\uE000${Math.random().toString(36).slice(2)}\uE001`;

/** Returns colours whose escape characters can be told from those in the text that they paint. */
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

/** Reports whether standard output holds text that its reader has not taken yet. */
function isStdoutBehind(): boolean {
  return process.stdout.writableNeedDrain;
}

/** The number of characters of text to write at a time. */
const PIECE = 1 << 20;

/**
 * Prints the value as JSON, or else the text. Writes no faster than the reader reads, so that a
 * reader who stalls fills no memory.
 */
export async function print(context: Context, value: Published, text: () => string): Promise<void> {
  for (const piece of context.json ? jsonPieces(value) : textPieces(text())) {
    context.write(piece);
    if (context.isBehind()) await context.caughtUp();
  }
}

function* textPieces(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    // Cutting at the end of a line splits no character, and nothing that is painted.
    const line = text.lastIndexOf("\n", at + PIECE - 1) + 1;
    const end = line > at ? line : at + PIECE;
    yield text.slice(at, end);
    at = end;
  }
}
