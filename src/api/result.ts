/** What a change comes to, as commands and the daemon tell each other. */
import type { ApplyResult } from "../dataplane/types.js";
import type { StepTime } from "../progress.js";

/** What `apply` gives. */
export interface ChangeResult extends Omit<ApplyResult, "generation"> {
  /** In force after the change; null after an unload. */
  readonly generation: number | null;
}

/** What a daemon answers. */
export interface AnsweredChange extends ChangeResult {
  /** How long each step took. */
  readonly steps: readonly StepTime[];
}

/** The result of an unload. */
export const nothingInForce: ChangeResult = {
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
};

/** The result of a switch, by the generation that is in force then. */
export function switched(generation: number, changed: boolean, off: boolean): ChangeResult {
  return { ...nothingInForce, generation, changed, off };
}
