import type { DataPlane, Active } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import type { ActiveRules } from "../model/rules.js";

/**
 * Returns the active rules for whoever is about to change them. Returns null when nothing is
 * loaded, and for state of another version of ilm that cannot be read: it is replaced as a whole,
 * and its run-time mappings are lost.
 */
export function activeIfReadable(dataPlane: Pick<DataPlane, "active">): Active | null {
  try {
    return dataPlane.active();
  } catch (error) {
    if (error instanceof IlmError && error.code === "INCOMPATIBLE") return null;
    throw error;
  }
}

/**
 * Returns the active rules, read, for whoever is about to remove them. Returns null when there are
 * none, or when anything at all is wrong with them: an unload removes that, too.
 */
export function rulesToRemove(dataPlane: Pick<DataPlane, "active">): ActiveRules | null {
  try {
    const rules = dataPlane.active()?.rules ?? null;
    rules?.file.read();
    return rules;
  } catch {
    return null;
  }
}
