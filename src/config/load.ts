/**
 * From files to a rule set. Nothing but this module and argument.ts is for others.
 * It brings in `yaml` and `zod` (some 100 ms): import it when a configuration is to be read, not before.
 */
import type { Problem } from "../errors.js";
import { beginStep } from "../progress.js";
import type { RuleSet } from "../model/mapping.js";
import { emptyDocument } from "./issues.js";
import { isJson, readJson } from "./json.js";
import { Lines } from "./lines.js";
import { readNdjson } from "./ndjson.js";
import { Problems } from "./problems.js";
import { formatMebibytes, type InputOptions } from "./input.js";
import { readFiles, type File } from "./read.js";
import { buildRuleSet } from "./rules.js";
import { formatPath, wholeFile, type Source, type TextProblem } from "./source.js";
import { readYaml } from "./yaml.js";

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
  const { files, names, problems, again } = await readFiles(path, options);
  return { ...load(files, names, problems), again };
}

/** The same for texts at hand; files share their services. Throws CONFIGURATION with every problem. */
export function parseConfiguration(files: readonly File[]): Loaded {
  return load(
    files,
    files.map(({ name }) => name),
    [],
  );
}

function load(
  files: readonly File[],
  names: readonly string[],
  unreadable: readonly Problem[],
): Loaded {
  const problems = new Problems();
  for (const problem of unreadable) problems.add(problem);
  const sources = files.flatMap((file) => read(file, problems) ?? []);
  const complete = unreadable.length === 0 && sources.length === files.length;
  const ruleSet = buildRuleSet(sources, complete, problems);
  problems.throwIfErrors(names);
  return { ruleSet, warnings: problems.warnings(names) };
}

/** Null when the text is not a document at all; what is wrong with it is noted either way. */
function read({ name, text: raw }: File, problems: Problems): Source | null {
  const text = raw.startsWith("\uFEFF") ? raw.slice(1) : raw;
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
  if (/^\s*$/.test(text)) {
    return refuse(emptyDocument.message, emptyDocument.hint);
  }
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
  const json = /\.(?:nd)?json$/.test(name) || isJson(text);
  if (!json && text.length > MAX_YAML_LENGTH) {
    return refuse(
      `the file has ${formatMebibytes(text.length)} of YAML, and at most ${formatMebibytes(MAX_YAML_LENGTH)} are read`,
      "write it as JSON, which is read a hundred times faster",
    );
  }
  beginStep(`reading ${name}`);
  const result = name.endsWith(".ndjson")
    ? readNdjson(name, text)
    : json
      ? readJson(name, text)
      : readYaml(name, text);
  for (const problem of result.problems) note(problem);
  return result.source;
}
