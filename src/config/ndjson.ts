/**
 * NDJSON: one mapping per line, for files of a million. The first line may be `{"version": 1,
 * "services": {...}}`. As long as nothing looks suspicious, a line is parsed on demand and nothing
 * of it is kept. Otherwise all lines are parsed, and the scanner of json.ts finds out what is
 * wrong.
 */
import { words } from "../model/columns.js";
import { tellShare } from "../progress.js";
import type { Valid } from "./document.js";
import { readFlat } from "./flat.js";
import { isJson, readJson } from "./json.js";
import { readQuickEntry, readQuickly } from "./quick.js";
import { valueIn, type Path, type Place, type Source, type TextProblem } from "./source.js";
import { VERSION } from "./version.js";

/** How often progress is reported, in lines. */
const TOLD_EVERY = 4096;

/** The lines that are not blank, in their order. */
class FilledLines {
  readonly #text: string;
  readonly #offsets = words();
  /** The lines' numbers, from 1 on. */
  readonly #numbers = words();

  /** `firstLine` is the number of the text's first line. */
  constructor(text: string, firstLine = 1) {
    this.#text = text;
    for (let start = 0, number = firstLine; start < text.length; number++) {
      const newline = text.indexOf("\n", start);
      const end = newline < 0 ? text.length : newline;
      // Most lines begin with their content.
      if (text.charCodeAt(start) === OPEN || text.slice(start, end).trim() !== "") {
        this.#offsets.push(start);
        this.#numbers.push(number);
      }
      start = end + 1;
    }
  }

  get count(): number {
    return this.#offsets.length;
  }

  offset(index: number): number {
    return this.#offsets.at(index);
  }

  content(index: number): string {
    const offset = this.offset(index);
    const newline = this.#text.indexOf("\n", offset);
    return this.#text.slice(offset, newline < 0 ? this.#text.length : newline);
  }

  /** Returns the place of the line's first value, or of what is at the path inside it. */
  place(index: number, path: Path, of: "key" | "value"): Place {
    const line = this.#numbers.at(index);
    if (path.length === 0 && this.#text.charCodeAt(this.offset(index)) === OPEN) {
      return { line, column: 1 };
    }
    const content = this.content(index);
    if (path.length === 0) return { line, column: 1 + (/^[ \t]*/.exec(content)?.[0].length ?? 0) };
    const { source } = readJson("", content);
    return { line, column: source?.place(path, of).column ?? 1 };
  }
}

const OPEN = 0x7b;

/**
 * Reports whether a text of unknown kind is NDJSON: its first line is an object of its own, and
 * another follows, or it is a mapping.
 */
export function isNdjson(text: string): boolean {
  const start = text.search(/\S/);
  if (text.charCodeAt(start) !== OPEN) return false;
  const newline = text.indexOf("\n", start);
  const first = newline < 0 ? text.slice(start) : text.slice(start, newline);
  if (!isJson(first)) return false;
  const next = newline < 0 ? -1 : text.slice(newline, newline + 4096).search(/\S/);
  if (next >= 0) return text.charCodeAt(newline + next) === OPEN;
  return Object.hasOwn(JSON.parse(first) as object, "port");
}

/** `headLines` is the number of lines before those of mappings: 0 or 1. */
function sourceOf(
  name: string,
  lines: FilledLines,
  head: unknown,
  headLines: number,
  mappings: () => unknown,
): Source {
  const isMapping = (path: Path): path is readonly ["mappings", number, ...Path] =>
    path[0] === "mappings" && typeof path[1] === "number";
  const value = (): unknown => ({
    version: VERSION,
    ...(head as object | undefined),
    mappings: mappings(),
  });
  return {
    name,
    get value() {
      return value();
    },
    valueAt: (path) => {
      if (!isMapping(path)) return valueIn(value(), path);
      const [, index, ...rest] = path;
      return valueIn(JSON.parse(lines.content(index + headLines)), rest);
    },
    place: (path, of = "value") => {
      if (!isMapping(path)) return lines.place(0, headLines === 0 ? [] : path, of);
      const [, index, ...rest] = path;
      return lines.place(index + headLines, rest, of);
    },
  };
}

/** Thrown on access to a line that needs a closer look. */
export class Unusual extends Error {}

/**
 * Returns a document whose mappings are parsed again on each access; one that is wrong, or that the
 * quick reader does not support, then throws Unusual. Returns null when this is true of the first
 * line. `firstLine` is the number, in the file, of the first line of a part.
 */
export function streamNdjson(
  name: string,
  text: string,
  firstLine = 1,
): { readonly source: Source; readonly quick: Valid } | null {
  const lines = new FilledLines(text, firstLine);
  const first = lines.count === 0 ? undefined : readSound(lines.content(0));
  if (first === undefined) return null;
  const head = isHead(first) ? first : undefined;
  // A head can only be a file's first line.
  if (head !== undefined && firstLine > 1) return null;
  const headLines = head === undefined ? 0 : 1;
  const valid = readQuickly({ version: VERSION, ...head, mappings: [] });
  if (valid === null) return null;
  const at = (index: number): ReturnType<typeof readQuickEntry> => {
    const line = index + headLines;
    const raw = readFlat(text, lines.offset(line)) ?? readSound(lines.content(line));
    const entry = raw === undefined ? null : readQuickEntry(raw);
    if (entry === null) throw new Unusual();
    return entry;
  };
  const length = lines.count - headLines;
  return {
    source: sourceOf(name, lines, head, headLines, () => []),
    quick: { ...valid, mappings: { length, at } },
  };
}

export function readNdjson(
  name: string,
  text: string,
): { source: Source | null; problems: TextProblem[] } {
  const lines = new FilledLines(text);
  const problems: TextProblem[] = [];
  const mappings: unknown[] = [];
  let head: object | undefined;
  let sound = true;
  for (let index = 0; index < lines.count; index++) {
    if (index % TOLD_EVERY === 0) tellShare(index, lines.count);
    const value = readLine(name, lines, index, mappings.length, problems);
    if (value === undefined) sound = false;
    else if (index === 0 && isHead(value)) head = value;
    else mappings.push(value);
  }
  if (!sound) return { source: null, problems };
  const headLines = head === undefined ? 0 : 1;
  return { source: sourceOf(name, lines, head, headLines, () => mappings), problems };
}

function isHead(value: unknown): value is object {
  return typeof value === "object" && value !== null && ("version" in value || "services" in value);
}

/** Parses a line. Returns undefined when it is not JSON, and notes the problem. */
function readLine(
  name: string,
  lines: FilledLines,
  line: number,
  index: number,
  problems: TextProblem[],
): unknown {
  const content = lines.content(line);
  const quick = readSound(content);
  if (quick !== undefined) return quick;
  const { source, problems: found } = readJson(name, content);
  for (const problem of found) {
    problems.push({
      ...problem,
      offset: problem.offset + lines.offset(line),
      path: ["mappings", index, ...problem.path],
    });
  }
  return source?.value;
}

/**
 * Parses a line. Returns undefined when it is not JSON, repeats a key, or has a number that is not
 * plain.
 */
function readSound(content: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  // Most lines are written by programs in exactly this form, so nothing was lost between text and
  // value.
  if (JSON.stringify(value) === content) return value;
  // Once texts are removed, every colon of a line belongs to a key.
  const bare = content.replace(/"[^"\\]*"/g, "");
  if (/["\\.]|[0-9][eE]/.test(bare)) return undefined;
  let colons = 0;
  for (let at = bare.indexOf(":"); at >= 0; at = bare.indexOf(":", at + 1)) colons++;
  return colons === countKeys(value) && !content.includes("__proto__") ? value : undefined;
}

function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) {
    let count = 0;
    for (const item of value) count += countKeys(item);
    return count;
  }
  let count = 0;
  for (const key in value) count += 1 + countKeys((value as Record<string, unknown>)[key]);
  return count;
}
