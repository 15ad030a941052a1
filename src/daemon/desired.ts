/** What the user asks for: a file or folder, and mappings given as arguments beside it, as one rule set. */
import { resolve } from "node:path";
import { configurationError, type Problem } from "../errors.js";
import { emptyRules, mappingKey, type Mapping, type RuleSet } from "../model/mapping.js";
import { digestLargeFile, digestOfBytes, type InputOptions } from "../config/input.js";
import type { Loaded } from "../config/load.js";
import type { ReadResult } from "../config/read.js";
import { ephemeralPorts } from "../kernel/procfs.js";
import { toColumns } from "../model/mapping-columns.js";
import { joinMappings, type Mappings } from "../model/mappings.js";
import { beginStep } from "../progress.js";
import { buildDigest } from "../version.js";
import type { InForceText } from "./in-force.js";
import { warnOfHost } from "./host-warnings.js";
import { digestOfText, formatKnownText, warningsOfKnown, type DigestedFile } from "./known-text.js";

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
  // Who does not ask what is in force keeps nothing either.
  const build = inForce === undefined ? null : buildDigest();
  const before = build === null ? null : ((await inForce?.()) ?? null);
  const ephemeral = ephemeralPorts();
  const digestOf = (source: string | null, files: readonly DigestedFile[]): string | null =>
    build === null ? null : digestOfText({ source, files, given: texts, build, ephemeral });
  const known = async (
    source: string | null,
    files: readonly DigestedFile[],
  ): Promise<Desired | null> => {
    const digest = digestOf(source, files);
    if (digest === null || before === null) return null;
    const names = files.map(({ name }) => name);
    const warnings = await warningsOfKnown(before.text, digest, names);
    const given = source === null && path !== null ? [] : texts;
    return warnings && { source, given, file: before.file, warnings, text: null };
  };
  beginStep("reading the files");
  if (path !== null && before !== null) {
    const large = await digestLargeFile(path, options);
    const found = large && (await known(resolve(path), [{ name: path, ...large }]));
    if (found !== null) return found;
  }
  const read = path === null ? noFile : await readFrom(path, options);
  const source = path === null || !read.again ? null : resolve(path);
  const files =
    build === null || read.problems.length > 0
      ? null
      : read.files.map(({ name, bytes }) => ({ name, ...digestOfBytes(bytes) }));
  const found = files && (await known(source, files));
  if (found !== null) return found;
  const { ruleSet, warnings: doubts } = path === null ? noRules : await understandFiles(read);
  const given = await readArguments(texts, ruleSet);
  refuseSameName(ruleSet.mappings, given);
  const file = { ...ruleSet, mappings: toColumns(joinMappings(ruleSet.mappings, given)) };
  const host = await warnOfHost(file.mappings, file.services);
  const { checkRules } = await import("../compile/compile.js");
  beginStep("compiling");
  const problems = checkRules({ ...emptyRules, source, file });
  const warnings = [...doubts, ...host.warnings, ...problems];
  if (problems.some(({ severity }) => severity === "error")) throw configurationError(warnings);
  const digest = files && digestOf(source, files);
  const text = digest && formatKnownText(digest, read.names, { ...host, warnings });
  return { source, given: read.again ? texts : [], file, warnings, text };
}

const noFile: ReadResult = { files: [], names: [], problems: [], again: true };
const noRules: Loaded = { ruleSet: { services: [], mappings: [] }, warnings: [] };

async function readFrom(path: string, options: InputOptions): Promise<ReadResult> {
  const { readFiles } = await import("../config/read.js");
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
