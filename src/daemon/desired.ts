/** What the user asks for: a file or folder, and mappings given as arguments beside it, as one rule set. */
import { resolve } from "node:path";
import { configurationError, type Problem } from "../errors.js";
import { emptyRules, mappingKey, type Mapping, type RuleSet } from "../model/mapping.js";
import type { InputOptions } from "../config/input.js";
import type { Loaded } from "../config/load.js";
import type { ReadResult } from "../config/read.js";
import { ephemeralPorts } from "../kernel/procfs.js";
import { toColumns } from "../model/mapping-columns.js";
import { joinMappings, type Mappings } from "../model/mappings.js";
import { beginStep } from "../progress.js";
import { buildDigest } from "../version.js";
import type { InForceText } from "./in-force.js";
import { warnOfHost } from "./host-warnings.js";
import { digestOfText, formatKnownText, warningsOfKnown } from "./known-text.js";

/** Where rules come from. Arguments may name services of the file, so they are read again with it. */
export interface Source {
  /** As given; `-` is standard input; null: there is no file. */
  readonly path: string | null;
  readonly mappings: readonly string[];
}

export interface Desired {
  /** Absolute; null when there is no file that could be read again (a pipe gives its content once). */
  readonly source: string | null;
  /** The mappings given as arguments; empty when there is no reading them again with their file (a pipe). */
  readonly given: readonly string[];
  readonly file: RuleSet;
  readonly warnings: readonly Problem[];
  /** To be kept beside the rules, once they are in force, for `InForceText`. Null: nothing new is known of the text. */
  readonly text: string | null;
}

export interface LoadOptions extends InputOptions {
  /** Asked when the files are read: what they say may be in force already. Null: nothing is. */
  readonly inForce?: (() => InForceText | null | Promise<InForceText | null>) | undefined;
}

/**
 * Reads everything anew, and finds everything that can be found wrong without a privilege; of text that is in force already, nothing is
 * read but its bytes, and `file` is the very object. Throws CONFIGURATION with every problem, and UNAVAILABLE.
 */
export async function loadDesired(
  { path, mappings: texts }: Source,
  { inForce, ...options }: LoadOptions = {},
): Promise<Desired> {
  const read = path === null ? noFile : await readFrom(path, options);
  const source = path === null || !read.again ? null : resolve(path);
  const given = read.again ? texts : [];
  const [build, ephemeral] = [buildDigest(), ephemeralPorts()];
  const digest = digestOfText({ source, read, given: texts, build, ephemeral });
  const before = digest === null ? null : ((await inForce?.()) ?? null);
  if (digest !== null && before !== null) {
    const warnings = await warningsOfKnown(before.text, digest, read.names);
    if (warnings !== null) return { source, given, file: before.file, warnings, text: null };
  }
  const { ruleSet, warnings: doubts } = path === null ? noRules : await understandFiles(read);
  const arguments_ = await readArguments(texts, ruleSet);
  refuseSameName(ruleSet.mappings, arguments_);
  const file = { ...ruleSet, mappings: toColumns(joinMappings(ruleSet.mappings, arguments_)) };
  const host = await warnOfHost(file.mappings, file.services);
  const { checkRules } = await import("../compile/compile.js");
  beginStep("compiling");
  const problems = checkRules({ ...emptyRules, source, file });
  const warnings = [...doubts, ...host.warnings, ...problems];
  if (problems.some(({ severity }) => severity === "error")) throw configurationError(warnings);
  const text = digest === null ? null : formatKnownText(digest, read.names, { ...host, warnings });
  return { source, given, file, warnings, text };
}

const noFile: ReadResult = { files: [], names: [], problems: [], again: true };
const noRules: Loaded = { ruleSet: { services: [], mappings: [] }, warnings: [] };

async function readFrom(path: string, options: InputOptions): Promise<ReadResult> {
  const { readFiles } = await import("../config/read.js");
  beginStep("reading the files");
  return readFiles(path, options);
}

async function understandFiles(read: ReadResult): Promise<Loaded> {
  const { understand } = await import("../config/load.js");
  return understand(read);
}

async function readArguments(texts: readonly string[], ruleSet: RuleSet): Promise<Mapping[]> {
  if (texts.length === 0) return [];
  const { parseMappingArgument } = await import("../config/argument.js");
  return texts.flatMap((text) => parseMappingArgument(text, ruleSet.services));
}

function refuseSameName(fromFile: Mappings, given: readonly Mapping[]): void {
  const seen = new Map(given.length === 0 ? [] : fromFile.map((one) => [mappingKey(one), one]));
  const problems: Problem[] = [];
  for (const mapping of given) {
    const other = seen.get(mappingKey(mapping));
    if (other !== undefined) {
      const { file, line } = other.origin;
      problems.push({
        severity: "error",
        ...mapping.origin,
        path: "",
        message: `the mapping ${mapping.name} (${mapping.protocol}) is there twice; the other is at ${file}${line > 0 ? `:${line}` : ""}`,
        hint: "leave one of them out",
      });
    }
    seen.set(mappingKey(mapping), mapping);
  }
  if (problems.length > 0) throw configurationError(problems);
}
