/**
 * YAML 1.2, core schema, without what makes a configuration differ from what one reads in it:
 * aliases, anchors, merge keys, tags, several documents, numbers that are not decimal.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  type Document,
  type ErrorCode,
  type Node,
  type Pair,
  type ParsedNode,
  type YAMLMap,
} from "yaml";

import { parseAddress } from "../model/address.js";
import { duplicateKey, MAX_DEPTH, plainNumber, unusableKey } from "./json.js";
import { Lines } from "./lines.js";
import { quote, valueIn, type Path, type Source, type TextProblem } from "./source.js";

/** The maximum number of UTF-16 code units to examine around an error. */
const MAX_LOOKED_AT = 200;

/** The maximum number of syntax errors to show. More are echoes of the first ones. */
const MAX_SYNTAX_PROBLEMS = 10;

export function readYaml(
  name: string,
  text: string,
): { source: Source | null; problems: TextProblem[] } {
  const document = parse(text);
  if (document === null) return { source: null, problems: [tooDeep(0)] };
  const problems = syntaxProblems(document, text);
  if (problems.length > 0) return { source: null, problems };

  const walker = new Walker(text);
  const value = document.contents === null ? null : walker.value(document.contents, 0);
  const lines = new Lines(text);
  return {
    source: {
      name,
      value,
      valueAt: (path) => valueIn(value, path),
      place: (path, of = "value") => lines.placeOf(locate(document.contents, path, of)),
    },
    problems: walker.problems,
  };
}

/** Parses a text. Returns null when the nesting exhausts the parser's stack. */
function parse(text: string): Document.Parsed | null {
  try {
    return parseDocument(text, {
      version: "1.2",
      schema: "core",
      merge: false,
      // The walker compares the keys: the parser compares each with all before it, which takes
      // minutes for many services.
      uniqueKeys: false,
      stringKeys: true,
      prettyErrors: false,
      // "silent" would also suppress the error about a second document.
      logLevel: "error",
    });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function tooDeep(offset: number): TextProblem {
  return {
    offset,
    path: [],
    message: `the document is nested more than ${MAX_DEPTH} levels deep`,
    hint: "a configuration needs no more than five",
  };
}

const QUOTE_HINT = `put texts with any of : [ ] { } , & * # ! | > ' " % @ in them between double quotes`;

const CUT_OFF_HINT = "the file ends too early: it may be cut off";

/** Our words where the parser speaks about itself. */
const syntaxWords: Partial<Record<ErrorCode, string>> = {
  MULTIPLE_DOCS: "a second document begins here",
  NON_STRING_KEY: "a list or a group of keys is where a key should be",
};

/** What to do where quoting is not the answer. */
const syntaxHints: Partial<Record<ErrorCode, string>> = {
  BAD_ALIAS: 'write "*" between double quotes',
  BAD_INDENT: "align the keys of one entry in the same column",
  TAB_AS_INDENT: "indent with spaces",
  MISSING_CHAR: "a bracket, comma, colon or quote is missing",
  MULTIPLE_DOCS: 'one file holds one document: remove the "---", or use a folder of files',
  BAD_DQ_ESCAPE: 'write "\\\\" for a backslash',
  NON_STRING_KEY: "keys are plain words",
};

function syntaxProblems(document: Document.Parsed, text: string): TextProblem[] {
  const errors = document.errors.slice(0, MAX_SYNTAX_PROBLEMS);
  // How deep the stack reaches differs each time.
  if (errors.some(({ code }) => code === "RESOURCE_EXHAUSTION")) return [tooDeep(0)];
  const end = text.trimEnd().length;
  const atEnd = errors.findIndex(({ pos }) => pos[0] >= end);
  // What is missing at the end is missing once, however many brackets are open.
  const told = atEnd < 0 ? errors : errors.slice(0, atEnd + 1);
  const problems: TextProblem[] = told.map(({ code, pos, message }) => ({
    offset: Math.min(pos[0], text.length),
    path: [],
    message: syntaxWords[code] ?? `this is not YAML: ${decapitalise(message)}`,
    hint:
      pos[0] >= end ? CUT_OFF_HINT : (bracketHint(text, pos[0]) ?? syntaxHints[code] ?? QUOTE_HINT),
  }));
  const { yaml } = document.directives;
  if (yaml.explicit === true && yaml.version !== "1.2") {
    problems.push({
      offset: Math.max(0, text.indexOf("%YAML")),
      path: [],
      message: `YAML ${yaml.version} is asked for, in which "on" and 010 mean something else`,
      hint: "remove the %YAML line",
    });
  }
  return problems;
}

/** Recognises `[fd5e::10]:80` without quotes, which begins a list in YAML. */
function bracketHint(text: string, offset: number): string | null {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const line =
    text.slice(start, Math.min(offset + MAX_LOOKED_AT, text.length)).split("\n", 1)[0] ?? "";
  const found =
    line.length > 2 * MAX_LOOKED_AT ? null : /(?<!")\[[0-9A-Fa-f:.]+\]:[0-9]+/.exec(line);
  return found === null ? null : `write "${found[0]}", with the double quotes`;
}

function decapitalise(message: string): string {
  return `${message.slice(0, 1).toLowerCase()}${message.slice(1)}`;
}

/** The keys at which a number is a number; elsewhere an address may be meant. */
const wholeNumbers: ReadonlySet<string> = new Set(["port", "version", "user", "group"]);

/** Turns nodes into plain values, and notes what is not supported. */
class Walker {
  readonly problems: TextProblem[] = [];
  readonly #text: string;
  readonly #path: (string | number)[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  value(node: ParsedNode | Node | null, depth: number): unknown {
    if (node === null) return null;
    if (isAlias(node)) {
      this.#refuse(offsetOf(node), aliasWords(`*${node.source}`));
      return null;
    }
    this.#properties(node);
    if (isScalar(node)) {
      if (typeof node.value === "number") this.#number(node.source ?? "", offsetOf(node));
      return node.value;
    }
    if (depth >= MAX_DEPTH) {
      this.problems.push(tooDeep(offsetOf(node)));
      return null;
    }
    if (isSeq(node)) {
      return node.items.map((item, index) => this.#at(index, item as Node | null, depth));
    }
    return isMap(node) ? this.#map(node, depth) : null;
  }

  #map(node: YAMLMap, depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    const keys = new Set<string>();
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const key = this.#key(pair.key);
      if (key === null) continue;
      const usable = key !== "__proto__" && !keys.has(key);
      if (!usable) {
        this.#path.push(key);
        this.#refuse(offsetOf(pair.key), keys.has(key) ? duplicateKey(key) : unusableKey(key));
        this.#path.pop();
      }
      const value = this.#at(key, pair.value, depth);
      if (usable) object[key] = value;
      // As JSON.parse has it, so that the validator sees the same keys in both.
      else if (!keys.has(key)) Object.defineProperty(object, key, { value, enumerable: true });
      keys.add(key);
    }
    return object;
  }

  #at(step: string | number, node: Node | null, depth: number): unknown {
    this.#path.push(step);
    const value = this.value(node, depth + 1);
    this.#path.pop();
    return value;
  }

  /** Returns the key as text. Returns null when it is invalid, and notes the problem. */
  #key(node: Node): string | null {
    if (isAlias(node)) {
      this.#refuse(offsetOf(node), aliasWords(`*${node.source}`));
      return null;
    }
    this.#properties(node);
    const key = isScalar(node) ? String(node.value) : null;
    if (key === "<<") {
      this.#refuse(offsetOf(node), {
        message: 'the merge key "<<" is not taken here',
        hint: "write the keys out",
      });
      return null;
    }
    return key;
  }

  #properties(node: Node): void {
    if ("anchor" in node && node.anchor !== undefined) {
      this.#refuse(this.#before(`&${node.anchor}`, node), {
        message: `the anchor "&${node.anchor}" is not taken here`,
        hint: "remove it, and write the value out where it is needed",
      });
    }
    if (node.tag !== undefined) {
      this.#refuse(this.#before("!", node), {
        message: `the tag ${quote(node.tag.replace("tag:yaml.org,2002:", "!!"))} is not taken here`,
        hint: "remove it",
      });
    }
  }

  /** Returns the offset of properties, which precede the node and are not in its range. */
  #before(property: string, node: Node): number {
    const offset = offsetOf(node);
    const found = this.#text.lastIndexOf(property, offset);
    return found < 0 ? offset : found;
  }

  #number(written: string, offset: number): void {
    if (/^-?(?:0|[1-9][0-9]*)$/.test(written)) return;
    const key = this.#path.findLast((step) => typeof step === "string");
    // A key of publish is a port itself.
    const isWhole = wholeNumbers.has(key ?? "") || this.#path[2] === "publish";
    const address = isWhole ? null : parseAddress(written);
    // 127.1 without quotes is a fraction, but was meant as an address.
    if (address === null || address.ok) this.#refuse(offset, plainNumber(written));
    else this.#refuse(offset, { message: address.reason, hint: address.hint });
  }

  #refuse(offset: number, words: Pick<TextProblem, "message" | "hint">): void {
    this.problems.push({ offset, path: [...this.#path], ...words });
  }
}

function aliasWords(written: string): Pick<TextProblem, "message" | "hint"> {
  return {
    message: `${quote(written).slice(1, -1)} is a YAML alias, which is not taken here`,
    hint: `if the text is meant, put it between double quotes: ${quote(written)}`,
  };
}

function offsetOf(node: Node): number {
  return node.range?.[0] ?? 0;
}

/**
 * Indexes the pairs of maps that were looked into by key, so that each of many services is found at
 * once.
 */
const pairsByKey = new WeakMap<YAMLMap, Map<string, Pair<Node, Node | null>>>();

function pairOf(map: YAMLMap, key: string): Pair<Node, Node | null> | undefined {
  let pairs = pairsByKey.get(map);
  if (pairs === undefined) {
    pairs = new Map();
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      if (isScalar(pair.key) && !pairs.has(String(pair.key.value))) {
        pairs.set(String(pair.key.value), pair);
      }
    }
    pairsByKey.set(map, pairs);
  }
  return pairs.get(key);
}

function locate(root: Node | null, path: Path, of: "key" | "value"): number {
  let offset = root === null ? 0 : offsetOf(root);
  let node = root;
  let keyOffset = offset;
  for (const step of path) {
    let child: Node | null | undefined;
    if (typeof step === "number") {
      child = isSeq(node) ? (node.items[step] as Node | null | undefined) : undefined;
      if (child === undefined) return offset;
      keyOffset = child === null ? offset : offsetOf(child);
    } else {
      const pair = isMap(node) ? pairOf(node, step) : undefined;
      if (pair === undefined) return offset;
      child = pair.value;
      keyOffset = offsetOf(pair.key);
    }
    node = child;
    offset = node === null ? keyOffset : offsetOf(node);
  }
  return of === "key" ? keyOffset : offset;
}
