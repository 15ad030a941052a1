/** Reads the active rules and what is kept about the text they were read from. */
import { ILM_ABI_VERSION } from "../../abi/generated.js";
import type { ActiveRules, FilePart } from "../../model/rules.js";
import type { Revision } from "../../model/revision.js";
import { digestOf, digestOfFile, hasFileOf, packMappings } from "../description.js";
import { Earlier } from "../earlier.js";
import { pendingOf, wentBackAt } from "../install/pending.js";
import { layOver } from "../install/plan.js";
import { type Loaded, type State, isOff } from "../install/state.js";
import type { Active, KeptText, Snapshot } from "../types.js";

/** Returns the active rules and their state, or null when nothing is loaded. */
export function activeOf(state: State): Active | null {
  const current = state.current();
  if (current === undefined) return null;
  const { generation, appliedAt, rules, engine, kfuncTrouble } = current.description;
  return {
    generation,
    appliedAt,
    version: current.description.version,
    rules,
    fileDigest: current instanceof Earlier ? null : current.description.fileDigest,
    engine,
    kfuncTrouble,
    off: isOff(current),
    earlierFormat: current instanceof Earlier ? current.format : null,
    strangerPolicy: current.description.strangerPolicy ?? "report",
    ...waitOf(current),
  };
}

/** Returns whether the rules wait for their confirmation, or those after them have gone back. */
function waitOf(current: Loaded | Earlier): Pick<Active, "pending" | "wentBackAt"> {
  if (current instanceof Earlier) return { pending: null, wentBackAt: null };
  const { programs } = current.generation;
  return { pending: pendingOf(programs), wentBackAt: wentBackAt(programs) };
}

/** Returns the active rules to be kept, or null when nothing is loaded. */
export function snapshotOf(state: State): Snapshot | null {
  const current = state.current();
  if (current === undefined) return null;
  const { generation, appliedAt, rules } = current.description;
  const format = ILM_ABI_VERSION;
  const same = { format, generation, appliedAt, off: isOff(current), rules, ...waitOf(current) };
  if (current instanceof Earlier) {
    const { file, sources } = rules;
    const fileDigest = digestOfFile(sources, file.read());
    const digest = digestOf(fileDigest, rules);
    return { ...same, fileDigest, digest, packed: () => packMappings(file.read().mappings) };
  }
  const { fileDigest, digest } = current.description;
  return { ...same, fileDigest, digest, packed: () => current.generation.packedMappings() };
}

/** Returns what is kept about the text that the active file's part was read from, or null. */
export function keptText(state: State): KeptText | null {
  const loaded = state.ownReadable();
  const text = loaded?.generation.text() ?? null;
  // Check the same generation: another process may switch to the next at this moment.
  if (loaded === undefined || text === null) return null;
  const { description } = loaded;
  const { file: before } = description.rules;
  const fits = (file: FilePart, revision: Revision): boolean =>
    layOver(loaded, { ...description.rules, file }, revision) !== null;
  return { file: before, text, fits: description.layers === null ? null : fits };
}

/**
 * Keeps the text for as long as the file's part of `rules` is active; does nothing when another
 * part is.
 */
export function keepText(state: State, rules: ActiveRules, text: string): void {
  const loaded = state.ownReadable();
  if (loaded === undefined) return;
  const { description, generation } = loaded;
  const isTheirs =
    hasFileOf(description, rules) ||
    description.fileDigest === digestOfFile(rules.sources, rules.file.read());
  if (isTheirs) generation.keepText(text);
}
