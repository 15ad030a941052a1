/**
 * Reads what the user asks for: a file or folder, and mappings given as arguments beside it, as one
 * rule set.
 */
import type { CompiledFile } from "../compile/compile.js";
import { resolve } from "node:path";
import type { KeptText } from "../dataplane/types.js";
import { configurationError, type Problem } from "../errors.js";
import { mappingKey, type Mapping } from "../model/mapping.js";
import { type FilePart, type RuleSet, emptyRules, inMemory } from "../model/rules.js";
import { digestLargeFile, digestOfBytes, type InputOptions } from "../config/input.js";
import type { Loaded } from "../config/load.js";
import { readMachineId } from "../config/machine-id.js";
import type { File, ReadResult } from "../config/read.js";
import { ephemeralPorts, loopbackTakesIpv6 } from "../kernel/procfs.js";
import { toColumns } from "../model/mapping-columns.js";
import { joinMappings, toLazy, type Mappings } from "../model/mappings.js";
import type { Revision } from "../model/revision.js";
import { beginStep } from "../progress.js";
import { buildDigest } from "../version.js";
import { warnOfHost, type HostWarnings } from "./host-warnings.js";
import {
  digestOfSurroundings,
  digestOfText,
  formatKnownText,
  readKnownText,
  warningsOfKnown,
  type DigestedFile,
  type KnownText,
} from "./known-text.js";
import { blockDigests, knownBlocks, reviseFrom } from "./revised-text.js";

/**
 * Where rules come from. Arguments may name services of the file, so they are read again with it.
 */
export interface RulesSource {
  /** The paths as given; `-` is standard input. Together they are read as one folder would be. */
  readonly paths: readonly string[];
  readonly mappings: readonly string[];
}

export interface Desired {
  /**
   * The absolute paths; none when there is no file, or one that cannot be read again (a pipe gives
   * its content once).
   */
  readonly sources: readonly string[];
  /**
   * The mappings given as arguments; empty when they cannot be read again with their file (a pipe).
   */
  readonly given: readonly string[];
  readonly file: FilePart;
  readonly warnings: readonly Problem[];
  /**
   * The `file` as what became of the active file's part, of which most stays. It is null when the
   * file was read in full, or is that part.
   */
  readonly revision: Revision | null;
  /** What `file` compiled to; null: it did not have to be compiled. */
  readonly compiled: CompiledFile | null;
  /**
   * What to keep beside the rules once they are active (`DataPlane.keepText`). It is null when
   * nothing new is known about the text.
   */
  readonly text: string | null;
  /** The files as they were read; null when there is no new text, or only parts of it were read. */
  readonly files: readonly File[] | null;
}

export interface LoadOptions extends InputOptions {
  /** True for rules that are not for this host: it is not looked at, and not warned about. */
  readonly apart?: boolean;
  /** What to read in the place of the paths. */
  readonly stored?: ReadResult;
  /**
   * Returns what is kept about the text of the active rules, which may be the text that is read, or
   * null if nothing is.
   */
  readonly kept?: (() => KeptText | null | Promise<KeptText | null>) | undefined;
}

/**
 * Reads the input again, and finds everything that can be found wrong without privileges. Of text
 * that is already active, only the bytes are read, and `file` is the very object; of a large file
 * of lines, only the changed ones are parsed. Throws CONFIGURATION with every problem, and
 * UNAVAILABLE.
 */
export async function loadDesired(
  { paths, mappings: given }: RulesSource,
  { kept: ask, stored, apart = false, ...options }: LoadOptions = {},
): Promise<Desired> {
  // Whoever does not ask for what is kept keeps nothing either.
  const build = ask === undefined ? null : buildDigest();
  const surroundings =
    build === null
      ? null
      : { given, build, ephemeral: ephemeralPorts(), ipv6: loopbackTakesIpv6() };
  const kept = surroundings === null ? null : ((await ask?.()) ?? null);
  beginStep("reading the files");
  const [only, ...others] = paths;
  if (
    only !== undefined &&
    others.length === 0 &&
    stored === undefined &&
    surroundings !== null &&
    kept !== null
  ) {
    const found = await loadLarge(only, options, kept, digestOfSurroundings(surroundings));
    if (found !== null) return { sources: [resolve(only)], given, ...found };
  }
  const isWithout = paths.length === 0;
  const read = stored ?? (isWithout ? noFile : await readFrom(paths, options));
  const sources = read.again ? paths.map((path) => resolve(path)) : [];
  const again = { sources, given: read.again ? given : [] };
  if (surroundings === null || read.problems.length > 0) {
    const all = await understandAll(isWithout ? null : read, sources, given, apart);
    const { warnings, compiled } = all;
    const file = inMemory(all.file);
    return { ...again, file, warnings, revision: null, compiled, text: null, files: read.files };
  }
  const around = digestOfSurroundings(surroundings);
  const digests = read.files.map(({ name, bytes }) => ({ name, ...digestOfBytes(name, bytes) }));
  const digest = digestOfText(around, sources, digests);
  const known = kept && readKnownText(kept.text, around);
  if (kept !== null && known?.digest === digest) {
    const warnings = await warningsOfKnown(known, read.names);
    if (warnings !== null) {
      const { file } = kept;
      return { ...again, file, warnings, revision: null, compiled: null, text: null, files: null };
    }
  }
  const revised = kept && known && (await loadRevised(kept, known, digests, digest));
  if (revised !== null) return { ...again, ...revised, files: read.files };
  const understood = await understandAll(isWithout ? null : read, sources, given, apart);
  const { file, host, warnings, compiled } = understood;
  const blocks = knownBlocks(digests, given, file);
  const { destinations, absent } = host;
  const { names } = read;
  const text = formatKnownText({
    digest,
    surroundings: around,
    names,
    warnings,
    destinations,
    absent,
    blocks,
  });
  const { files } = read;
  return { ...again, file: inMemory(file), warnings, revision: null, compiled, text, files };
}

/**
 * Loads a large file that equals the active one, or mostly does. Returns null when the whole has to
 * be read. `around` is the digest of its surroundings.
 */
async function loadLarge(
  path: string,
  options: InputOptions,
  kept: KeptText,
  around: string,
): Promise<Omit<Desired, "sources" | "given"> | null> {
  const known = readKnownText(kept.text, around);
  if (known === null) return null;
  const isKnown = blockDigests(known);
  const large = await digestLargeFile(path, options, (digest) => isKnown.has(digest));
  if (large === null) return null;
  const digest = digestOfText(around, [resolve(path)], [{ name: path, ...large }]);
  if (digest === known.digest) {
    const warnings = await warningsOfKnown(known, [path]);
    if (warnings === null) return null;
    const { file } = kept;
    return { file, warnings, revision: null, compiled: null, text: null, files: null };
  }
  return loadRevised(kept, known, [{ name: path, ...large }], digest);
}

/**
 * Loads files that mostly equal the active ones. Returns null when the whole has to be read.
 * `digest` is that of their text.
 */
async function loadRevised(
  kept: KeptText,
  known: KnownText,
  files: readonly DigestedFile[],
  digest: string,
): Promise<Omit<Desired, "sources" | "given"> | null> {
  const revised = await reviseFrom(kept, known, files);
  if (revised === null) return null;
  const { file, revision } = revised;
  const text = formatKnownText({ ...revised.known, digest });
  return { file, warnings: [], revision, compiled: null, text, files: null };
}

interface Understood {
  readonly file: RuleSet;
  readonly compiled: CompiledFile;
  readonly host: HostWarnings;
  /** All warnings, including those about the host. */
  readonly warnings: readonly Problem[];
}

/**
 * Parses and checks files (null when there are none) and arguments together. Throws CONFIGURATION
 * with every problem.
 */
async function understandAll(
  read: ReadResult | null,
  sources: readonly string[],
  texts: readonly string[],
  apart: boolean,
): Promise<Understood> {
  const { ruleSet, warnings: doubts } = read === null ? noRules : await understandFiles(read);
  const given = await readArguments(texts, ruleSet);
  refuseSameName(ruleSet.mappings, given);
  const file = { ...ruleSet, mappings: toColumns(joinMappings(ruleSet.mappings, given)) };
  const host = apart ? notLookedAt : await warnOfHost(file.mappings, file);
  const { tryCompile } = await import("../compile/compile.js");
  beginStep("compiling");
  const { compiled, problems } = tryCompile({ ...emptyRules, sources, file });
  const warnings = [...doubts, ...host.warnings, ...problems];
  if (problems.some(({ severity }) => severity === "error")) throw configurationError(warnings);
  return { file, compiled: { file, compiled }, host, warnings };
}

const notLookedAt: HostWarnings = { warnings: [], destinations: [], absent: [] };
const noFile: ReadResult = { files: [], names: [], problems: [], again: true };
const noRules: Loaded = { ruleSet: { services: [], mappings: [] }, warnings: [] };

async function readFrom(paths: readonly string[], options: InputOptions): Promise<ReadResult> {
  const { readFiles } = await import("../config/read.js");
  return readFiles(paths, options);
}

async function understandFiles(read: ReadResult): Promise<Loaded> {
  const { understand } = await import("../config/load.js");
  return understand(read, readMachineId);
}

async function readArguments(texts: readonly string[], ruleSet: RuleSet): Promise<Mapping[]> {
  if (texts.length === 0) return [];
  const { parseMappingArgument } = await import("../config/argument.js");
  return texts.flatMap((text) => parseMappingArgument(text, ruleSet.services));
}

function refuseSameName(fromFile: Mappings, given: readonly Mapping[]): void {
  const seen = new Map<string, Mapping | undefined>();
  for (const [key, index] of toLazy(fromFile).indexesOf(new Set(given.map(mappingKey)))) {
    seen.set(key, fromFile.at(index));
  }
  const problems: Problem[] = [];
  for (const mapping of given) {
    const other = seen.get(mappingKey(mapping));
    if (other !== undefined) {
      const { file, line } = other.origin;
      problems.push({
        severity: "error",
        ...mapping.origin,
        path: "",
        message: `the mapping ${mapping.name} (${mapping.protocol}) is defined twice; the other is at ${file}${line > 0 ? `:${line}` : ""}`,
        hint: "remove one of them",
      });
    }
    seen.set(mappingKey(mapping), mapping);
  }
  if (problems.length > 0) throw configurationError(problems);
}
