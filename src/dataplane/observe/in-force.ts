/** What is in force, and what is kept of the text that it was read from. */
import type { RuleSet, Rules } from "../../model/rules.js";
import type { Revision } from "../../model/revision.js";
import { hasFileOf, digestOfFile } from "../description.js";
import { Earlier } from "../earlier.js";
import { layOver } from "../install/plan.js";
import type { State } from "../install/state.js";
import { isOff } from "../install/state.js";
import type { InForce, KeptText } from "../types.js";

/** Null when nothing is loaded. */
export function inForceOf(state: State): InForce | null {
  const current = state.current();
  if (current === undefined) return null;
  const { generation, appliedAt, rules, engine, kfuncTrouble } = current.description;
  return {
    generation,
    appliedAt,
    version: current.description.version,
    // They unpack themselves when somebody looks at them.
    rules,
    fileDigest: current instanceof Earlier ? null : current.description.fileDigest,
    engine,
    kfuncTrouble,
    off: isOff(current),
    earlierFormat: current instanceof Earlier ? current.format : null,
  };
}

/** What is kept of the text that the file's part in force was read from. */
export function keptText(state: State): KeptText | null {
  const loaded = state.ownReadable();
  const text = loaded?.generation.text() ?? null;
  // Of the same generation: another process may put the next in force at this moment.
  if (loaded === undefined || text === null) return null;
  const { description } = loaded;
  const { source, file: before, runtime } = description.rules;
  const fits = (file: RuleSet, revision: Revision): boolean =>
    layOver(loaded, { source, file, runtime }, revision) !== null;
  return { file: before, text, fits: description.layers === null ? null : fits };
}

/** Keeps it as long as that part is in force; not when another one is. */
export function keepText(state: State, rules: Rules, text: string): void {
  const loaded = state.ownReadable();
  if (loaded === undefined) return;
  const { description, generation } = loaded;
  const isTheirs =
    hasFileOf(description, rules) ||
    description.fileDigest === digestOfFile(rules.source, rules.file);
  if (isTheirs) generation.keepText(text);
}
