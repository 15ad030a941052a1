/**
 * What a change asks for, and the rules that it leads to. Pure: nothing here touches the kernel.
 */
import { configurationError, IlmError, type Problem } from "../errors.js";
import { hasEnded, mappingKey, type Mapping } from "../model/mapping.js";
import { type ActiveRules, type FilePart, noActiveRules } from "../model/rules.js";
import { joinMappings, toLazy } from "../model/mappings.js";
import { changedFields } from "./diff.js";
import { type DrainChange, drainedAfter } from "./drained.js";
import type { Piece } from "../model/revision.js";
import { fileArguments } from "../model/sources.js";

/** What a verb asks the writer for. */
export type Change =
  | RulesChange
  | { readonly kind: "unload" }
  | RollbackChange
  | SwitchChange
  | DecisionChange;

/** A change that leads to other rules. */
export type RulesChange = ApplyChange | AddChange | RemoveChange | DrainChange;

/** Makes the rules of an earlier change active again, of both kinds. */
export interface RollbackChange {
  readonly kind: "rollback";
  /** Its number in the history; null for what was active before the last change. */
  readonly to: number | null;
}

/** Switches all decisions off, or on again. */
export type SwitchChange = { readonly kind: "off" } | { readonly kind: "on" };

/** Decides about a change that waits for its confirmation: it is kept, or taken back. */
export type DecisionChange = { readonly kind: "confirm" } | { readonly kind: "back" };

/** The limits of `confirmSeconds`: a day is more than anybody waits. */
export const CONFIRM_SECONDS_MIN = 1;
export const CONFIRM_SECONDS_MAX = 86_400;

/** What may be asked for with each change of the rules. */
interface Confirmable {
  /** The change goes back after this many seconds, unless it is confirmed. */
  readonly confirmSeconds?: number;
}

/** Returns how long the change waits for its confirmation; undefined when it needs none. */
export function confirmSecondsOf(change: RulesChange): number | undefined {
  return "confirmSeconds" in change ? change.confirmSeconds : undefined;
}

export interface AddChange extends Confirmable {
  readonly kind: "add";
  readonly mappings: readonly Mapping[];
  readonly replace: boolean;
}

export interface RemoveChange extends Confirmable {
  readonly kind: "remove";
  readonly names: readonly string[];
}

/** Replaces the file's part of the rules; run-time mappings stay. */
export interface ApplyChange extends Confirmable {
  readonly kind: "apply";
  /**
   * The absolute paths of the files and folders, so that a running daemon follows them from then
   * on; none when the input cannot be read again.
   */
  readonly sources: readonly string[];
  /**
   * The mappings given as arguments beside the file. They are in `file` too; they are kept here so
   * that a reload includes them.
   */
  readonly given: readonly string[];
  readonly file: FilePart;
}

/**
 * An apply of text that was read before, by this process or another, and whose rules are active, as
 * the digest says. It fails with NOT_FOUND when other rules have become active.
 */
export interface ReapplyChange extends Omit<ApplyChange, "kind" | "file"> {
  readonly kind: "reapply";
  /** The digest of the file's part, as `Active.fileDigest`. */
  readonly fileDigest: string;
}

/**
 * An apply of a revision of the active file's part, which is given by its digest. It fails with
 * NOT_FOUND when other rules have become active, or when the whole file has to be checked.
 */
export interface ReviseChange extends Omit<ReapplyChange, "kind"> {
  readonly kind: "revise";
  readonly pieces: readonly Piece[];
  /** The name of the revised file, as `Revision.name`. */
  readonly name: string | null;
  /** The digest of the result: another process may have activated the very same rules by now. */
  readonly result: string;
}

/**
 * Returns the rules after the change. Throws CONFIGURATION or NOT_FOUND when it is impossible. Ties
 * are left to the compiler.
 */
export function rulesAfter(current: ActiveRules | null, change: RulesChange): ActiveRules {
  const rules = current ?? noActiveRules;
  switch (change.kind) {
    case "apply": {
      const { sources, file } = change;
      return withoutTwins({ ...rules, sources, file });
    }
    case "add":
      return afterAdd(rules, change.mappings, change.replace);
    case "remove":
      return afterRemove(rules, change.names);
    case "drain":
    case "undrain": {
      const { mappings, services } = rules.file.read();
      const all = joinMappings(mappings, rules.runtime);
      return { ...rules, drained: drainedAfter(rules.drained ?? [], change, all, services) };
    }
  }
}

function afterAdd(rules: ActiveRules, added: readonly Mapping[], replace: boolean): ActiveRules {
  const runtime = new Map(rules.runtime.map((mapping) => [mappingKey(mapping), mapping]));
  const problems: Problem[] = [];
  const given = new Map<string, Mapping>();
  for (const mapping of added) {
    const key = mappingKey(mapping);
    const twin = given.get(key);
    if (twin !== undefined && !sameMapping(twin, mapping)) {
      problems.push({
        severity: "error",
        ...mapping.origin,
        path: "",
        message: `the mapping ${mapping.name} (${mapping.protocol}) is given twice`,
        hint: "give it once; one mapping may lead to several destinations, separated by commas",
      });
      continue;
    }
    given.set(key, mapping);
    const before = runtime.get(key);
    if (before !== undefined && !replace && !sameMapping(before, mapping)) {
      problems.push({
        severity: "error",
        ...mapping.origin,
        path: "",
        message: `a mapping named ${mapping.name} (${mapping.protocol}) was already added at run time`,
        hint: `use "ilm add --replace", or "ilm remove ${mapping.name}" first`,
      });
    }
    if (before === undefined || replace) runtime.set(key, mapping);
  }
  if (problems.length > 0) throw configurationError(problems);
  // The compiler checks the names against the file's: doing it here would mean reading all of them.
  return { ...rules, runtime: [...runtime.values()] };
}

/** Returns the rules without mappings that are over at this second since boot. */
export function withoutEnded<Some extends Pick<ActiveRules, "runtime">>(
  rules: Some,
  now: number,
): Some {
  const runtime = rules.runtime.filter((mapping) => !hasEnded(mapping, now));
  return runtime.length === rules.runtime.length ? rules : { ...rules, runtime };
}

/** Reports whether two mappings of one name are equal in everything but where they were written. */
function sameMapping(left: Mapping, right: Mapping): boolean {
  return changedFields(left, right).length === 0;
}

function afterRemove(rules: ActiveRules, names: readonly string[]): ActiveRules {
  for (const name of names) {
    if (rules.runtime.some((mapping) => mapping.name === name)) continue;
    throw notRemovable(rules, name);
  }
  const gone = new Set(names);
  return { ...rules, runtime: rules.runtime.filter((mapping) => !gone.has(mapping.name)) };
}

function notRemovable(rules: ActiveRules, name: string): IlmError {
  const fromFile = rules.file.read().mappings.find((mapping) => mapping.name === name);
  if (fromFile !== undefined) {
    const { file, line } = fromFile.origin;
    const place = line > 0 ? `${file}:${line}` : file;
    const remedy =
      rules.sources.length === 0
        ? 'apply again without it; "remove" takes back what "add" gave.'
        : `Remove it from ${file} and run "ilm apply ${fileArguments(rules.sources)}"; "remove" takes back what "add" gave.`;
    return new IlmError(
      "NOT_FOUND",
      `the mapping ${name} was not added at run time: ${place} has it`,
      {
        remedy: remedy.charAt(0).toUpperCase() + remedy.slice(1),
      },
    );
  }
  const known = [...new Set(rules.runtime.map((mapping) => mapping.name))];
  return new IlmError("NOT_FOUND", `there is no mapping named ${name}`, {
    remedy:
      known.length === 0
        ? "No mapping was added at run time; `ilm mappings` lists the active mappings."
        : `Added at run time: ${known.slice(0, 10).join(", ")}${known.length > 10 ? ", ..." : ""}.`,
  });
}

/**
 * Lets the file have a run-time mapping that it has exactly so, and refuses other names that both
 * share: counters and `remove` go by name and protocol.
 */
function withoutTwins(rules: ActiveRules): ActiveRules {
  if (rules.runtime.length === 0) return rules;
  const keys = new Set(rules.runtime.map(mappingKey));
  const { mappings } = rules.file.read();
  const seen = toLazy(mappings).indexesOf(keys);
  const problems: Problem[] = [];
  const runtime: Mapping[] = [];
  for (const mapping of rules.runtime) {
    const other = mappings.at(seen.get(mappingKey(mapping)) ?? Infinity);
    if (other === undefined) runtime.push(mapping);
    if (other === undefined || sameMapping(mapping, other)) continue;
    const { file, line } = other.origin;
    problems.push({
      severity: "error",
      ...mapping.origin,
      path: "",
      message: `the mapping ${mapping.name} (${mapping.protocol}) added at run time has the name of one at ${file}:${line}, and is another`,
      hint: `"ilm remove ${mapping.name}" takes the one added at run time away`,
    });
  }
  if (problems.length > 0) throw configurationError(problems);
  return runtime.length === rules.runtime.length ? rules : { ...rules, runtime };
}
