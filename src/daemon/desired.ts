/** What the user asks for: a file or folder, and mappings given as arguments beside it, as one rule set. */
import { resolve } from "node:path";
import { configurationError, type Problem } from "../errors.js";
import { mappingKey, type Mapping, type RuleSet } from "../model/mapping.js";
import type { InputOptions } from "../config/input.js";
import type { LoadedFile } from "../config/load.js";
import { warnOfHost } from "./host-warnings.js";

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
}

/** Reads everything anew. Throws CONFIGURATION with every problem, and UNAVAILABLE. */
export async function loadDesired(source: Source, options?: InputOptions): Promise<Desired> {
  const { path } = source;
  const loaded = path === null ? noFile : await readFile(path, options);
  const given = await readArguments(source.mappings, loaded.ruleSet);
  refuseSameName(loaded.ruleSet.mappings, given);
  const mappings = [...loaded.ruleSet.mappings, ...given];
  return {
    source: path === null || !loaded.again ? null : resolve(path),
    given: loaded.again ? source.mappings : [],
    file: { ...loaded.ruleSet, mappings },
    warnings: [...loaded.warnings, ...(await warnOfHost(mappings, loaded.ruleSet.services))],
  };
}

const noFile: LoadedFile = {
  ruleSet: { services: [], mappings: [] },
  warnings: [],
  again: true,
};

async function readFile(path: string, options?: InputOptions): Promise<LoadedFile> {
  const { loadConfiguration } = await import("../config/load.js");
  return loadConfiguration(path, options);
}

async function readArguments(texts: readonly string[], ruleSet: RuleSet): Promise<Mapping[]> {
  if (texts.length === 0) return [];
  const { parseMappingArgument } = await import("../config/argument.js");
  return texts.flatMap((text) => parseMappingArgument(text, ruleSet.services));
}

function refuseSameName(fromFile: readonly Mapping[], given: readonly Mapping[]): void {
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
