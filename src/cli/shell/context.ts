/** What a command knows of the terminal and of the options that every command has. */
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
  /** What the command works on. */
  readonly reach: Reach;
  /** Standard output carries one JSON document (or NDJSON) and nothing else. */
  readonly json: boolean;
  /**
   * Columns of the terminal; Infinity when standard output is none, so that nothing is cut off in
   * pipes.
   */
  readonly width: number;
  readonly colours: Colours;
  /**
   * To standard output. What would steer a terminal is made visible, here at the latest, except
   * what `colours` painted. What the reader has not taken yet is held in memory: see `caughtUp`.
   */
  write(text: string): void;
  /** Is there more written than read? */
  isBehind(): boolean;
  /** Settles when whoever reads standard output has taken what was written, or on `givenUp`. */
  caughtUp(givenUp?: AbortSignal): Promise<void>;
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
  // stdout.isTTY is undefined on a pipe, whatever its type says, and undefined makes picocolors
  // look at CI by itself.
  const terminal = isatty(stdout.fd) && env["TERM"] !== "dumb";
  const able = (env["FORCE_COLOR"] ?? "0") !== "0" || terminal;
  const json = options.json === true;
  const visible = (text: string): string => printableLines(text).replaceAll(PAINTED, ESCAPE);
  return {
    reach: hostReach,
    json,
    width: stdout.isTTY ? Math.max(stdout.columns, 40) : Infinity,
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
 * Stands for the escape characters of our own colours until they are written; nobody else can know
 * it. Private use.
 */
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

/** A file or a terminal takes all at once: it has no such property. */
function isStdoutBehind(): boolean {
  return process.stdout.writableNeedDrain;
}

/** A piece of text that is written at once, in characters. */
const PIECE = 1 << 20;

/**
 * Prints the value as JSON, or else the text; no faster than it is read, so that a reader who
 * stalls fills no memory.
 */
export async function print(context: Context, value: Published, text: () => string): Promise<void> {
  for (const piece of context.json ? jsonPieces(value) : textPieces(text())) {
    context.write(piece);
    if (context.isBehind()) await context.caughtUp();
  }
}

function* textPieces(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    // At the end of a line: no character, and nothing that is painted, is cut in two.
    const line = text.lastIndexOf("\n", at + PIECE - 1) + 1;
    const end = line > at ? line : at + PIECE;
    yield text.slice(at, end);
    at = end;
  }
}
