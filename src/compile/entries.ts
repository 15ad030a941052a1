/**
 * The mappings that compete for one prefix of one class of ports, in the order in which they are
 * tried.
 */
import { familyOf, prefixLength, type Prefix } from "../model/address.js";
import type { Mapping, PortRange } from "../model/mapping.js";
import type { LazyMappings } from "../model/mappings.js";
import {
  type Condition,
  type Rank,
  compareRanks,
  conditionsOf,
  prefixesOf,
  unconditional,
} from "../rules/order.js";

/** A mapping, or one port of it (see SPLIT_PORTS in compile.ts). */
export class Unit {
  readonly #mappings: LazyMappings;
  /** The index into the mappings. */
  readonly index: number;
  /** How many ports the mapping has. */
  readonly size: number;
  readonly ports: readonly PortRange[];
  readonly rule: number;
  /** True when the unit has no conditions: nothing after it is reached. */
  readonly isUnconditional: boolean;
  /** When the mapping ends, as its `until`. */
  readonly until: number | undefined;

  constructor(
    mappings: LazyMappings,
    { index, size, ports, rule }: Pick<Unit, "index" | "size" | "ports" | "rule">,
  ) {
    this.#mappings = mappings;
    this.index = index;
    this.size = size;
    this.ports = ports;
    this.rule = rule;
    this.isUnconditional = !mappings.isConditionalAt(index);
    this.until = this.isUnconditional ? undefined : mappings.at(index)?.until;
  }

  /** The mapping. It is not kept, as there may be a million. */
  get mapping(): Mapping {
    const mapping = this.#mappings.at(this.index);
    if (mapping === undefined) throw new RangeError(`there is no mapping ${this.index}`);
    return mapping;
  }

  /** The prefixes of `on`, without those of a family for which it has no sources. */
  get prefixes(): readonly Prefix[] {
    const all = prefixesOf(this.#mappings.onAt(this.index));
    if (this.isUnconditional) return all;
    const { mapping } = this;
    return all.filter((prefix) => takesFamily(mapping, prefix));
  }
}

/** A unit with one of its sources and one of its interfaces. */
export interface Entry extends Condition, Rank {
  readonly unit: Unit;
}

function takesFamily({ from }: Mapping, prefix: Prefix): boolean {
  const family = familyOf(prefix);
  return from === undefined || from.some((source) => familyOf(source) === family);
}

/** Returns the entries of a prefix in the order in which they are tried. */
export function entriesOf(units: readonly Unit[], prefix: Prefix): Entry[] {
  const family = familyOf(prefix);
  const onLength = prefixLength(prefix);
  return units
    .flatMap((unit): Entry[] => {
      const conditions = unit.isUnconditional
        ? [unconditional]
        : conditionsOf(unit.mapping, family);
      return conditions.map((one) => ({ unit, onLength, ports: unit.size, ...one }));
    })
    .sort(compareRanks);
}

/**
 * Reports whether the entry takes every source and interface at any time, so nothing comes after
 * it.
 */
export function isLast(entry: Entry): boolean {
  return entry.from === null && entry.interface === null && entry.unit.until === undefined;
}
