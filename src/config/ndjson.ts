/**
 * NDJSON: one mapping on each line, for files of a million. The first line may be `{"version": 1, "services": {...}}`.
 * A line is parsed by `JSON.parse` alone as long as nothing about it is suspicious; else the scanner of json.ts finds out what.
 */
import { tellShare } from "../progress.js";
import { readJson } from "./json.js";
import type { Path, Place, Source, TextProblem } from "./source.js";
import { VERSION } from "./version.js";

/** Lines. */
const TOLD_EVERY = 4096;

export function readNdjson(
  name: string,
  text: string,
): { source: Source | null; problems: TextProblem[] } {
  const problems: TextProblem[] = [];
  const mappings: unknown[] = [];
  /** By index of the mapping: the offset of its line, and the line's number. */
  const offsets: number[] = [];
  const lineNumbers: number[] = [];
  let head: unknown;
  let headOffset = 0;
  let headLine = 1;
  let sound = true;
  for (let start = 0, line = 1; start < text.length; line++) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const content = text.slice(start, end);
    const offset = start;
    start = end + 1;
    if (content.trim() === "") continue;
    if (line % TOLD_EVERY === 0) tellShare(offset, text.length);
    const value = readLine(name, content, offset, mappings.length, problems);
    if (value === undefined) {
      sound = false;
    } else if (mappings.length === 0 && head === undefined && isHead(value)) {
      head = value;
      headOffset = offset;
      headLine = line;
    } else {
      mappings.push(value);
      offsets.push(offset);
      lineNumbers.push(line);
    }
  }
  if (!sound) return { source: null, problems };
  const lineAt = (offset: number): string => {
    const newline = text.indexOf("\n", offset);
    return text.slice(offset, newline < 0 ? text.length : newline);
  };
  /** Within one line; the first column is 1. */
  const within = (offset: number, line: number, path: Path, of: "key" | "value"): Place => {
    if (path.length === 0) return { line, column: 1 + leadingSpace(text, offset) };
    const { source } = readJson(name, lineAt(offset));
    return { line, column: source?.place(path, of).column ?? 1 };
  };
  return {
    source: {
      name,
      value: { version: VERSION, ...(head as object | undefined), mappings },
      place: (path, of = "value") => {
        const [first, index, ...rest] = path;
        if (first !== "mappings" || typeof index !== "number") {
          return within(headOffset, headLine, head === undefined ? [] : path, of);
        }
        return within(offsets[index] ?? 0, lineNumbers[index] ?? 1, rest, of);
      },
    },
    problems,
  };
}

function isHead(value: unknown): boolean {
  return typeof value === "object" && value !== null && ("version" in value || "services" in value);
}

function leadingSpace(text: string, offset: number): number {
  let count = 0;
  while (text[offset + count] === " " || text[offset + count] === "\t") count++;
  return count;
}

/** Undefined when the line is not JSON, which is noted. */
function readLine(
  name: string,
  content: string,
  offset: number,
  index: number,
  problems: TextProblem[],
): unknown {
  const quick = readQuickly(content);
  if (quick !== undefined) return quick;
  const { source, problems: found } = readJson(name, content);
  for (const problem of found) {
    problems.push({
      ...problem,
      offset: problem.offset + offset,
      path: ["mappings", index, ...problem.path],
    });
  }
  return source?.value;
}

/** Undefined when it is not JSON, has a key twice, or a number that is not plain. */
function readQuickly(content: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  // Most are written by programs, and just so: then nothing was lost between the text and the value.
  if (JSON.stringify(value) === content) return value;
  // Without its texts, every colon of a line is that of a key.
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
