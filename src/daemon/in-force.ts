import type { DataPlane, InForce } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import type { RuleSet } from "../model/mapping.js";

/**
 * What is in force, for whoever is about to change it: what another version of ilm made cannot be read, and is replaced as a
 * whole. Its mappings of run time are lost with it.
 */
export function replaceableInForce(dataPlane: DataPlane): InForce | null {
  try {
    return dataPlane.inForce();
  } catch (error) {
    if (error instanceof IlmError && error.code === "INCOMPATIBLE") return null;
    throw error;
  }
}

/** Rules in force, and what is kept of the text that they were read from; null: nothing. */
export interface InForceText {
  readonly file: RuleSet;
  readonly text: string;
}

export function inForceText(dataPlane: DataPlane): InForceText | null {
  const text = dataPlane.keptText();
  const rules = text === null ? undefined : dataPlane.inForce()?.rules;
  return text === null || rules === undefined ? null : { file: rules.file, text };
}
