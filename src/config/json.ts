/**
 * Reads JSON. `JSON.parse` returns the values, fast, but no positions, keeps the last of two equal
 * keys, and often omits the position from its messages. So the text is scanned once more: for
 * duplicate keys, for numbers that are not plain, for the offsets of the entries, and, if it is not
 * JSON, for the place where it stops being it.
 */
import { Lines } from "./lines.js";
import { quote, valueIn, type Path, type Source, type TextProblem } from "./source.js";

/** The maximum nesting. Deeper documents mean nothing to us, and must not exhaust the stack. */
export const MAX_DEPTH = 32;

/**
 * Entries of services and mappings are two levels down. Only their places are kept for the whole
 * document.
 */
const ENTRY_DEPTH = 2;

/** Where a value and its key are (offsets), and its children to the depth that was requested. */
interface Spot {
  readonly key: number;
  readonly value: number;
  children: readonly Spot[] | ReadonlyMap<string, Spot> | null;
}

export function readJson(
  name: string,
  text: string,
): { source: Source | null; problems: TextProblem[] } {
  const scanner = new Scanner(text, ENTRY_DEPTH);
  const root = scanner.document();
  if (root === null) return { source: null, problems: scanner.problems };
  const lines = new Lines(text);
  const value: unknown = JSON.parse(text);
  return {
    source: {
      name,
      value,
      valueAt: (path) => valueIn(value, path),
      place: (path, of = "value") => lines.placeOf(locate(text, root, path, of)),
    },
    problems: scanner.problems,
  };
}

/** Reports whether the text is certainly JSON. A YAML flow mapping may look like it. */
export function isJson(text: string): boolean {
  if (!/^\s*\{/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

function locate(text: string, root: Spot, path: Path, of: "key" | "value"): number {
  let spot = root;
  let found = 0;
  for (const step of path) {
    spot.children ??= new Scanner(text, MAX_DEPTH).children(spot.value);
    const child = childOf(spot, step);
    if (child === undefined) break;
    spot = child;
    found++;
  }
  return of === "key" && found === path.length ? spot.key : spot.value;
}

function childOf(spot: Spot, step: string | number): Spot | undefined {
  const { children } = spot;
  if (children === null) return undefined;
  if (typeof step === "number") return "at" in children ? children.at(step) : undefined;
  return "at" in children ? undefined : children.get(step);
}

/** Thrown when the text stops being JSON at `offset`. */
class NotJson extends Error {
  readonly offset: number;
  readonly hint: string;
  constructor(offset: number, message: string, hint: string) {
    super(message);
    this.offset = offset;
    this.hint = hint;
  }
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const PLAIN_NUMBER = /^-?[0-9]+$/;

class Scanner {
  readonly problems: TextProblem[] = [];
  readonly #text: string;
  readonly #recordDepth: number;
  readonly #path: (string | number)[] = [];
  #at = 0;

  constructor(text: string, recordDepth: number) {
    this.#text = text;
    this.#recordDepth = recordDepth;
  }

  /** Scans the whole text as one value. Returns null when it is not JSON, and notes the problem. */
  document(): Spot | null {
    try {
      this.#space();
      const root = this.#value(0, this.#at);
      this.#space();
      if (this.#at < this.#text.length) {
        throw new NotJson(
          this.#at,
          "there is more text after the end of the JSON document",
          "one file holds one document",
        );
      }
      return root;
    } catch (error) {
      if (!(error instanceof NotJson)) throw error;
      this.problems.push({
        offset: error.offset,
        path: [],
        message: error.message,
        hint: error.hint,
      });
      return null;
    }
  }

  /** Returns the children of a value that `document` has found to be JSON. */
  children(offset: number): Spot["children"] {
    this.#at = offset;
    return this.#value(0, offset).children;
  }

  #value(depth: number, key: number): Spot {
    const spot: Spot = { key, value: this.#at, children: null };
    const text = this.#text;
    switch (text.charCodeAt(this.#at)) {
      case 0x7b:
        this.#object(depth, spot);
        break;
      case 0x5b:
        this.#array(depth, spot);
        break;
      case 0x22:
        this.#string();
        break;
      default:
        if (text.startsWith("true", this.#at) || text.startsWith("null", this.#at)) this.#at += 4;
        else if (text.startsWith("false", this.#at)) this.#at += 5;
        else this.#number();
    }
    return spot;
  }

  #object(depth: number, spot: Spot): void {
    this.#open(depth);
    const children = depth < this.#recordDepth ? new Map<string, Spot>() : null;
    const keys: string[] = [];
    let many: Set<string> | null = null;
    while (!this.#close(0x7d, keys.length > 0)) {
      const keyAt = this.#at;
      if (this.#text.charCodeAt(keyAt) !== 0x22) throw this.#unexpected("a key in double quotes");
      const key = this.#string();
      const repeated = many === null ? keys.includes(key) : many.has(key);
      if (repeated) this.#duplicate(keyAt, key);
      keys.push(key);
      many?.add(key);
      if (keys.length === 16) many = new Set(keys);
      if (key === "__proto__") this.#unusable(keyAt, key);
      this.#space();
      if (this.#text.charCodeAt(this.#at) !== 0x3a) throw this.#unexpected('":" after the key');
      this.#at++;
      this.#space();
      this.#path.push(key);
      const child = this.#value(depth + 1, keyAt);
      this.#path.pop();
      if (!repeated) children?.set(key, child);
    }
    spot.children = children;
  }

  #array(depth: number, spot: Spot): void {
    this.#open(depth);
    const children: Spot[] | null = depth < this.#recordDepth ? [] : null;
    let count = 0;
    while (!this.#close(0x5d, count > 0)) {
      this.#path.push(count++);
      const child = this.#value(depth + 1, this.#at);
      this.#path.pop();
      children?.push(child);
    }
    spot.children = children;
  }

  #open(depth: number): void {
    if (depth >= MAX_DEPTH) {
      throw new NotJson(
        this.#at,
        `the document is nested more than ${MAX_DEPTH} levels deep`,
        "a configuration needs no more than five",
      );
    }
    this.#at++;
    this.#space();
  }

  /** Consumes the closing bracket, or the comma before one more item. */
  #close(bracket: number, some: boolean): boolean {
    this.#space();
    const code = this.#text.charCodeAt(this.#at);
    if (code === bracket) {
      this.#at++;
      return true;
    }
    if (!some) return false;
    if (code !== 0x2c) throw this.#unexpected(`"," or "${String.fromCharCode(bracket)}"`);
    this.#at++;
    this.#space();
    if (this.#text.charCodeAt(this.#at) === bracket) {
      throw new NotJson(this.#at, "a comma is followed by nothing", "remove the comma");
    }
    return false;
  }

  /** Consumes a string and returns its value. */
  #string(): string {
    const text = this.#text;
    const start = this.#at + 1;
    let escaped = false;
    for (let at = start; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 0x22) {
        this.#at = at + 1;
        if (!escaped) return text.slice(start, at);
        return String(JSON.parse(text.slice(start - 1, at + 1)));
      }
      if (code === 0x5c) {
        escaped = true;
        if (!/^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(text.slice(at, at + 6))) {
          throw new NotJson(
            at,
            "this is not an escape that JSON has",
            'write "\\\\" for a backslash',
          );
        }
        at++;
      } else if (code < 0x20) {
        throw new NotJson(
          at,
          "a text in double quotes is not closed on its line",
          "close it, or write control characters as \\uXXXX",
        );
      }
    }
    throw new NotJson(
      start - 1,
      "a text in double quotes is never closed",
      "the file may be cut off",
    );
  }

  #number(): void {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#unexpected("a value");
    const [number] = match;
    if (!PLAIN_NUMBER.test(number)) {
      this.problems.push({ offset: this.#at, path: [...this.#path], ...plainNumber(number) });
    }
    this.#at += number.length;
  }

  #space(): void {
    const text = this.#text;
    for (;;) {
      const code = text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #unexpected(expected: string): NotJson {
    const rest = this.#text.slice(this.#at, this.#at + 80);
    if (rest === "") {
      return new NotJson(
        this.#at,
        `the document ends where ${expected} is expected`,
        "the file may be cut off",
      );
    }
    const word = /^(?:[A-Za-z0-9_.+-]+|.)/su.exec(rest)?.[0] ?? rest;
    return new NotJson(
      this.#at,
      `this is not JSON: ${quote(word)} found where ${expected} is expected`,
      "correct it, or name the file .yaml if it is YAML",
    );
  }

  #duplicate(offset: number, key: string): void {
    this.problems.push({ offset, path: [...this.#path, key], ...duplicateKey(key) });
  }

  #unusable(offset: number, key: string): void {
    this.problems.push({ offset, path: [...this.#path, key], ...unusableKey(key) });
  }
}

/** Describes a duplicate key, in words that JSON and YAML share. */
export function duplicateKey(key: string): Pick<TextProblem, "message" | "hint"> {
  return { message: `the key ${quote(key)} is here twice`, hint: "remove one of the two" };
}

export function unusableKey(key: string): Pick<TextProblem, "message" | "hint"> {
  return { message: `the key ${quote(key)} is not known`, hint: "remove it" };
}

export function plainNumber(written: string): Pick<TextProblem, "message" | "hint"> {
  const decimal = /^\+?0*([0-9]+)(?:\.0+)?$/.exec(written)?.[1];
  const rule = "whole numbers in decimal, without leading zeros, sign, fraction or exponent";
  return {
    message: `${quote(written).slice(1, -1)} is not a plain decimal number`,
    hint:
      decimal === undefined || decimal.length > 5 ? `write ${rule}` : `write ${decimal}: ${rule}`,
  };
}
