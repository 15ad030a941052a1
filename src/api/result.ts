/** The outcome of a change, as commands and the daemon tell each other. */
import type { Active, ApplyResult } from "../dataplane/types.js";
import { type ActiveRules, countMappings, readRules } from "../model/rules.js";
import { summaryOfUnload } from "../rules/summary.js";
import type { StepTime } from "../progress.js";

/** The outcome of a change: the result of `apply`, or of an unload or a switch. */
export interface ChangeResult extends Omit<ApplyResult, "generation"> {
  /** The generation that is active after the change; null after an unload. */
  readonly generation: number | null;
}

/** A daemon's answer to a change. */
export interface AnsweredChange extends ChangeResult {
  /** How long each step took. */
  readonly steps: readonly StepTime[];
}

/** The result of a change after which nothing is active. */
export const nothingActive: ChangeResult = {
  generation: null,
  changed: true,
  difference: null,
  mappings: 0,
  incremental: false,
  addressesAdded: [],
  addressesRemoved: [],
  interfacesMissing: [],
  kfuncTrouble: null,
  repaired: [],
  off: false,
  takenOverFormat: null,
  lost: null,
  pending: null,
};

/** Returns the result of an unload; `before` is what was active, as far as it could be read. */
export function unloadedResult(before: ActiveRules | null, changed: boolean): ChangeResult {
  const difference = changed && before !== null ? summaryOfUnload(readRules(before)) : null;
  return { ...nothingActive, changed, difference };
}

/** Returns the result of a decision about a change that waited; `active` is what decides since. */
export function decided(active: Active | null): ChangeResult {
  if (active === null) return nothingActive;
  const { generation, rules, off } = active;
  return { ...nothingActive, generation, mappings: countMappings(rules), off };
}

/** Returns the result of a switch. `generation` is the active one. */
export function switched(generation: number, changed: boolean, off: boolean): ChangeResult {
  return { ...nothingActive, generation, changed, off };
}
