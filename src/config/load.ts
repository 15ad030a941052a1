/**
 * From files to a rule set. Other folders use only this module, parse.ts and argument.ts. What most
 * files do not need is imported on demand: `yaml`, and the validator with `zod`.
 */
import { IlmError, type Problem } from "../errors.js";
import { beginStep } from "../progress.js";
import type { RuleSet } from "../model/rules.js";
import { emptyDocument, type Document, type Valid } from "./document.js";
import { isJson, readJson } from "./json.js";
import { Lines } from "./lines.js";
import { readMachineId, type MachineId } from "./machine-id.js";
import { Unusual, isNdjson, readNdjson, streamNdjson } from "./ndjson.js";
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
  /** True when another process can read it again by the same path. */
  readonly again: boolean;
}

/**
 * The maximum length of YAML, 16 MiB: the parser takes some 200 bytes and 1.5 microseconds for each
 * byte.
 */
export const MAX_YAML_LENGTH = 16 * 1024 * 1024;

/**
 * Loads a file, `-` (standard input), or a folder with all its *.yaml, *.yml, *.json and *.ndjson
 * in the order of their names. Rejects with CONFIGURATION and every problem, including what cannot
 * be read, and with UNAVAILABLE when that may pass.
 */
export async function loadConfiguration(path: string, options?: InputOptions): Promise<LoadedFile> {
  return understand(await readFiles([path], options), readMachineId);
}

/**
 * Parses and checks files. Rejects with CONFIGURATION and every problem, including what could not
 * be read. `machineId` is called when an address depends on the host.
 */
export async function understand(
  { files, names, problems, again }: ReadResult,
  machineId: MachineId,
): Promise<LoadedFile> {
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
  const quick = readTexts(texts, unreadable, readYaml, true);
  const isQuick = quick.documents.every((document) => document.quick !== null);
  const loaded = isQuick ? joinUsual({ ...quick, names, machineId }, notNeeded) : null;
  if (loaded !== null) return { ...loaded, again };
  const { validate } = await import("./validate.js");
  return { ...joinAny({ texts, unreadable, readYaml, quick, names, machineId, validate }), again };
}

/** Stands in for a reader that is not needed. */
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

/** Decides the kind of a text, and removes the byte order mark. */
export function textOf({ name, text: raw }: NamedText): Text {
  const text = raw.startsWith("\uFEFF") ? raw.slice(1) : raw;
  if (name.endsWith(".ndjson")) return { name, text, kind: "ndjson" };
  // The name of a pipe, for one, does not tell.
  if (!/\.(?:ya?ml|json)$/.test(name) && isNdjson(text)) return { name, text, kind: "ndjson" };
  return { name, text, kind: name.endsWith(".json") || isJson(text) ? "json" : "yaml" };
}

type ReadText = (
  name: string,
  text: string,
) => { readonly source: Source | null; readonly problems: readonly TextProblem[] };

interface ReadDocument {
  readonly source: Source;
  /** The document as the quick reader read it; null when the validator has to judge. */
  readonly quick: Valid | null;
}

/**
 * Documents as their texts say, before the validator checks them and they are compared with each
 * other.
 */
export interface ReadTexts {
  readonly documents: readonly ReadDocument[];
  /** True when no file and no document is missing. */
  readonly complete: boolean;
  readonly problems: Problems;
}

/** Reads texts. `streams`: read NDJSON as streams, whose lines are parsed on demand. */
export function readTexts(
  texts: readonly Text[],
  unreadable: readonly Problem[],
  readYaml: ReadText,
  streams: boolean,
): ReadTexts {
  const problems = new Problems();
  for (const problem of unreadable) problems.add(problem);
  const documents = texts.flatMap((text) => read(text, readYaml, problems, streams) ?? []);
  return {
    documents,
    complete: unreadable.length === 0 && documents.length === texts.length,
    problems,
  };
}

type Validate = (source: Source, problems: Problems) => Document;

/** What documents are joined with. */
interface Around {
  /** The names of the files, in their order. */
  readonly names: readonly string[];
  readonly machineId: MachineId;
}

/** Joins documents. Returns null when a line of a stream needs a closer look than streams allow. */
function joinUsual(read: ReadTexts & Around, validate: Validate): Loaded | null {
  try {
    return join(read, validate);
  } catch (error) {
    if (error instanceof Unusual) return null;
    throw error;
  }
}

/** Everything needed to say what is wrong with texts. */
interface AnyTexts extends Around {
  readonly texts: readonly Text[];
  readonly unreadable: readonly Problem[];
  readonly readYaml: ReadText;
  /** The result of readTexts with streams. */
  readonly quick: ReadTexts;
  readonly validate: Validate;
}

/**
 * Joins documents, taking a closer look where necessary. Throws CONFIGURATION with every problem.
 */
export function joinAny({
  texts,
  unreadable,
  readYaml,
  quick,
  validate,
  ...around
}: AnyTexts): Loaded {
  const usual = joinUsual({ ...quick, ...around }, validate);
  if (usual !== null) return usual;
  return join({ ...readTexts(texts, unreadable, readYaml, false), ...around }, validate);
}

/** Joins documents. Throws CONFIGURATION with every problem, and Unusual. */
function join(
  { documents, complete, problems, names, machineId }: ReadTexts & Around,
  validate: Validate,
): Loaded {
  const valid = documents.map(({ source, quick }) =>
    quick === null ? validate(source, problems) : { source, unsound: [], ...quick },
  );
  const ruleSet = buildRuleSet(valid, complete, problems, machineId);
  problems.throwIfErrors(names);
  return { ruleSet, warnings: problems.warnings(names) };
}

/** Reads a text, and notes its problems. Returns null when it is not a document at all. */
function read(
  { name, text, kind }: Text,
  readYaml: ReadText,
  problems: Problems,
  streams: boolean,
): ReadDocument | null {
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
  const stream = kind === "ndjson" && streams ? streamNdjson(name, text) : null;
  if (stream !== null) return stream;
  const readers = { yaml: readYaml, json: readJson, ndjson: readNdjson };
  const result = readers[kind](name, text);
  for (const problem of result.problems) note(problem);
  const { source } = result;
  return source && { source, quick: readQuickly(source.value) };
}
