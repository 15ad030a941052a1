/**
 * Mappings with conditions as chains of steps. After the last entry of a prefix comes what the next
 * larger prefix around it has, so chains share their tails. Sources are looked up in a trie of
 * their own, one group for each chain and port set size: however many prefixes `from` has, they are
 * one step.
 */
import { type Address, type Prefix, familyOf, prefixLength } from "../model/address.js";
import { type Entry, type Unit, entriesOf, isLast } from "./entries.js";
import { Nesting } from "../rules/nesting.js";
import { isOwned } from "../rules/order.js";
import type { MatchedLevel, PrefixColumns, StepColumns, RuleOrStep } from "./tables.js";

export function levelOf(prefix: Prefix): MatchedLevel {
  const length = prefixLength(prefix);
  if (length === 0) return "default";
  return length === (familyOf(prefix) === 4 ? 32 : 128) ? "exact" : "prefix";
}

/** The tables that all classes share. */
export interface ChainTables {
  readonly steps: StepColumns;
  readonly sources: PrefixColumns;
  /** Names of interfaces and their indexes, from 1 on. */
  readonly interfaces: Map<string, number>;
  /** Addresses that only mappings for exactly that address can take. */
  readonly owned: ReadonlySet<Address>;
  /** Returns the number of a new group. */
  nextGroup(): number;
}

export class ClassChains {
  readonly #units: ReadonlyMap<Prefix, readonly Unit[] | Unit>;
  readonly #tables: ChainTables;
  readonly #heads = new Map<Prefix, RuleOrStep>();
  /** For prefixes without steps of their own, the step that ends a chain with their rule. */
  readonly #ends = new Map<Prefix, number>();
  #nesting: Nesting | undefined;
  /** True when any prefix of the class needed a step. */
  asks = false;
  /** The number of steps of the longest chain. */
  longest = 0;

  constructor(units: ReadonlyMap<Prefix, readonly Unit[] | Unit>, tables: ChainTables) {
    this.#units = units;
    this.#tables = tables;
  }

  /** Returns where a packet for this prefix goes. The prefix must be one of the class. */
  head(prefix: Prefix): RuleOrStep {
    const here = this.#units.get(prefix);
    if (here === undefined) return 0;
    // Nearly all prefixes need no chain, and nothing to remember.
    if ("rule" in here && here.isUnconditional) return here.rule;
    const known = this.#heads.get(prefix);
    if (known !== undefined) return known;
    const head = this.#build(prefix, entriesOf("rule" in here ? [here] : here, prefix));
    this.#heads.set(prefix, head);
    if (head < 0) {
      this.asks = true;
      this.longest = Math.max(this.longest, this.#tables.steps.depth(-head));
    }
    return head;
  }

  #build(prefix: Prefix, entries: readonly Entry[]): RuleOrStep {
    const matched = levelOf(prefix);
    const closing = entries.findIndex(isLast);
    const last = entries[closing];
    if (closing === 0 && last !== undefined) return last.unit.rule;
    const open = closing < 0 ? entries : entries.slice(0, closing);
    let tail = last === undefined ? this.#beyond(prefix) : this.#decide(last, matched);
    for (let end = open.length; end > 0;) {
      const size = open[end - 1]?.unit.size;
      let start = end - 1;
      while (start > 0 && open[start - 1]?.unit.size === size) start--;
      tail = this.#tier(open.slice(start, end), tail, matched);
      end = start;
    }
    return -tail;
  }

  /**
   * Returns the step that continues where the next larger prefix would have begun, or 0 if there is
   * none.
   */
  #beyond(prefix: Prefix): number {
    if (isOwned(prefix, this.#tables.owned)) return 0;
    this.#nesting ??= new Nesting(this.#units.keys());
    const around = this.#nesting.around(prefix);
    if (around === undefined) return 0;
    const head = this.head(around);
    if (head < 0) return -head;
    let step = this.#ends.get(around);
    if (step === undefined) {
      step = this.#tables.steps.push({ rule: head, matched: levelOf(around) }, 0);
      this.#ends.set(around, step);
    }
    return step;
  }

  #decide({ unit }: Entry, matched: MatchedLevel): number {
    return this.#tables.steps.push({ rule: unit.rule, matched }, 0);
  }

  /** Chains entries of one port set size, followed by `after`. */
  #tier(entries: readonly Entry[], after: number, matched: MatchedLevel): number {
    const { steps, sources } = this.#tables;
    const anywhere = this.#conditions(
      entries.filter((entry) => entry.from === null),
      after,
      matched,
    );
    const bySource = new Map<Prefix, Entry[]>();
    for (const entry of entries) {
      if (entry.from === null) continue;
      const known = bySource.get(entry.from);
      if (known === undefined) bySource.set(entry.from, [entry]);
      else known.push(entry);
    }
    if (bySource.size === 0) return anywhere;
    const group = this.#tables.nextGroup();
    const nesting = new Nesting(bySource.keys());
    const heads = new Map<Prefix, number>();
    let depth = steps.depth(anywhere);
    // Entries come with the longest source first, but a chain needs that of the prefix around it.
    for (const [source, here] of [...bySource].reverse()) {
      const around = nesting.around(source);
      const beyond = (around === undefined ? undefined : heads.get(around)) ?? anywhere;
      const head = this.#conditions(here, beyond, matched);
      heads.set(source, head);
      depth = Math.max(depth, steps.depth(head));
      sources.push(group, source, -head);
    }
    return steps.push({ group, next: anywhere }, depth);
  }

  /** Chains entries of one source, those with an interface first. */
  #conditions(entries: readonly Entry[], after: number, matched: MatchedLevel): number {
    const { steps } = this.#tables;
    let head = after;
    for (const entry of entries.toReversed()) {
      const { rule, until } = entry.unit;
      if (entry.interface === null && until === undefined) {
        head = this.#decide(entry, matched);
        continue;
      }
      const named = entry.interface === null ? null : this.#numberOf(entry.interface);
      const step = {
        rule,
        next: head,
        matched,
        ...(named !== null && { interface: named }),
        ...(until !== undefined && { until }),
      };
      head = steps.push(step, steps.depth(head));
    }
    return head;
  }

  /** Returns the number of an interface that steps name. */
  #numberOf(name: string): number {
    const { interfaces } = this.#tables;
    let index = interfaces.get(name);
    if (index === undefined) {
      index = interfaces.size + 1;
      interfaces.set(name, index);
    }
    return index;
  }
}
