/**
 * What compiled tables lead to, in the kernel's numbers: that of a rule, which mappings share, and
 * that of the mapping's own counter.
 */
import { ILM_STEP } from "../../abi/generated.js";
import type { Compiled, RuleOrStep } from "../../compile/tables.js";
import { type Shapes, shapesOf } from "./shapes.js";

export interface Targets {
  /** Returns a rule or a step, or 0 for neither. */
  value(target: RuleOrStep): number;
  /** Returns the counter, or 0 where there is no rule. */
  counter(target: RuleOrStep): number;
}

/** Where rules, steps and counters begin. No rule or step has the number 0. */
interface TargetsPlace {
  readonly rules: number;
  readonly steps: number;
  readonly counters: number;
}

/** The targets of tables that belong to one generation as a whole. */
export class TableTargets implements Targets {
  readonly #shapes: Shapes;
  readonly #mapping: Uint32Array;
  readonly #place: TargetsPlace;

  constructor(compiled: Compiled, place: TargetsPlace) {
    this.#shapes = shapesOf(compiled);
    this.#mapping = compiled.rules.mapping;
    this.#place = place;
  }

  value(target: RuleOrStep): number {
    if (target === 0) return 0;
    if (target < 0) return ILM_STEP + this.#place.steps + -target;
    return this.#place.rules + (this.#shapes.of[target] ?? 0);
  }

  counter(target: RuleOrStep): number {
    return target > 0 ? this.#place.counters + (this.#mapping[target] ?? 0) : 0;
  }
}

/**
 * An overlay numbers its own rules from here on. Smaller numbers are rules of the tables below,
 * which say which.
 */
export const OVERLAY_RULES = 2 ** 30;

/** The targets of an overlay: rules of its own, and some of the tables below. */
export class OverlayTargets implements Targets {
  readonly #own: Targets;
  readonly #below: Targets;

  constructor(own: Targets, below: Targets) {
    this.#own = own;
    this.#below = below;
  }

  value(target: RuleOrStep): number {
    if (target < OVERLAY_RULES) return this.#below.value(target);
    return this.#own.value(target - OVERLAY_RULES + 1);
  }

  counter(target: RuleOrStep): number {
    if (target < OVERLAY_RULES) return this.#below.counter(target);
    return this.#own.counter(target - OVERLAY_RULES + 1);
  }
}
