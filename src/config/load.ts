/**
 * From files to a rule set. Nothing but this module, parse.ts and argument.ts is for others. What most files need none of is
 * imported when one does: `yaml`, and the validator with `zod`.
 */
import { IlmError, type Problem } from "../errors.js";
import { beginStep } from "../progress.js";
import type { RuleSet } from "../model/mapping.js";
import { emptyDocument, type Document, type Valid } from "./document.js";
import { isJson, readJson } from "./json.js";
import { Lines } from "./lines.js";
import { readNdjson } from "./ndjson.js";
import { Problems } from "./problems.js";
import { formatMebibytes, type InputOptions } from "./input.js";
import { readQuickly } from "./quick.js";
import { decodeFile, readFiles, type ReadResult } from "./read.js";
import { buildRuleSet } from "./rules.js";
import { formatPath, wholeFile, type Source, type TextProblem } from "./source.js";

export interface Loaded {
  readonly ruleSet: RuleSet;
  /** What is doubtful but not wrong, in the order of the files. */
  readonly warnings: readonly Problem[];
}

export interface LoadedFile extends Loaded {
  /** Another process can read it again by the same path. */
  readonly again: boolean;
}

/** 16 MiB: the YAML parser needs some 200 bytes and 1.5 microseconds for each byte it reads. */
export const MAX_YAML_LENGTH = 16 * 1024 * 1024;

/**
 * Reads a file, `-` (standard input), or a folder with all its *.yaml, *.yml, *.json and *.ndjson in the order of their names.
 * Rejects with CONFIGURATION and every problem, also when something cannot be read; with UNAVAILABLE when that may pass.
 */
export async function loadConfiguration(path: string, options?: InputOptions): Promise<LoadedFile> {
  return understand(await readFiles(path, options));
}

/** What the files say. Rejects with CONFIGURATION and every problem, also with what could not be read. */
export async function understand({
  files,
  names,
  problems,
  again,
}: ReadResult): Promise<LoadedFile> {
  const unreadable = [...problems];
  const texts: Text[] = [];
  for (const file of files) {
    const text = decodeFile(file);
    if (typeof text === "string") texts.push(textOf({ name: file.name, text }));
    else unreadable.push(text);
  }
  const readYaml = texts.some(({ kind }) => kind === "yaml")
    ? (await import("./yaml.js")).readYaml
    : notNeeded;
  const read = readTexts(texts, unreadable, readYaml);
  const validate = read.documents.some(({ quick }) => quick === null)
    ? (await import("./validate.js")).validate
    : notNeeded;
  return { ...join(read, names, validate), again };
}

/** In place of what was found not to be needed. */
function notNeeded(): never {
  throw new IlmError("INTERNAL", "a reader was not loaded");
}

/** A file as text. */
export interface NamedText {
  readonly name: string;
  readonly text: string;
}

interface Text extends NamedText {
  readonly kind: "yaml" | "json" | "ndjson";
}

/** Without the byte order mark. */
export function textOf({ name, text: raw }: NamedText): Text {
  const text = raw.startsWith("\uFEFF") ? raw.slice(1) : raw;
  if (name.endsWith(".ndjson")) return { name, text, kind: "ndjson" };
  return { name, text, kind: name.endsWith(".json") || isJson(text) ? "json" : "yaml" };
}

type ReadText = (
  name: string,
  text: string,
) => { readonly source: Source | null; readonly problems: readonly TextProblem[] };

/** Documents as texts say them, before they are looked at by the validator and beside each other. */
export interface ReadTexts {
  /** `quick`: null when the validator has to judge. */
  readonly documents: readonly { readonly source: Source; readonly quick: Valid | null }[];
  /** No file is missing or no document. */
  readonly complete: boolean;
  readonly problems: Problems;
}

export function readTexts(
  texts: readonly Text[],
  unreadable: readonly Problem[],
  readYaml: ReadText,
): ReadTexts {
  const problems = new Problems();
  for (const problem of unreadable) problems.add(problem);
  const sources = texts.flatMap((text) => read(text, readYaml, problems) ?? []);
  return {
    documents: sources.map((source) => ({ source, quick: readQuickly(source.value) })),
    complete: unreadable.length === 0 && sources.length === texts.length,
    problems,
  };
}

/** Throws CONFIGURATION with every problem. `names`: of the files, in their order. */
export function join(
  { documents, complete, problems }: ReadTexts,
  names: readonly string[],
  validate: (source: Source, problems: Problems) => Document,
): Loaded {
  const valid = documents.map(({ source, quick }) =>
    quick === null ? validate(source, problems) : { source, unsound: [], ...quick },
  );
  const ruleSet = buildRuleSet(valid, complete, problems);
  problems.throwIfErrors(names);
  return { ruleSet, warnings: problems.warnings(names) };
}

/** Null when the text is not a document at all; what is wrong with it is noted either way. */
function read({ name, text, kind }: Text, readYaml: ReadText, problems: Problems): Source | null {
  const note = (problem: TextProblem): void => {
    problems.add({
      severity: "error",
      file: name,
      ...lines.placeOf(problem.offset),
      path: formatPath(problem.path),
      message: problem.message,
      hint: problem.hint,
    });
  };
  const refuse = (message: string, hint: string): null => {
    problems.add({ severity: "error", file: name, ...wholeFile, path: "", message, hint });
    return null;
  };
  if (/^\s*$/.test(text)) return refuse(emptyDocument.message, emptyDocument.hint);
  const lines = new Lines(text);
  const nul = text.indexOf("\0");
  if (nul >= 0) {
    note({
      offset: nul,
      path: [],
      message: "the file is not text: it has a NUL byte",
      hint: "give a YAML or JSON file",
    });
    return null;
  }
  if (kind === "yaml" && text.length > MAX_YAML_LENGTH) {
    return refuse(
      `the file has ${formatMebibytes(text.length)} of YAML, and at most ${formatMebibytes(MAX_YAML_LENGTH)} are read`,
      "write it as JSON, which is read a hundred times faster",
    );
  }
  beginStep(`reading ${name}`);
  const readers = { yaml: readYaml, json: readJson, ndjson: readNdjson };
  const result = readers[kind](name, text);
  for (const problem of result.problems) note(problem);
  return result.source;
}
