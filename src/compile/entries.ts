/** The mappings that compete for one prefix of one class of ports, in the order in which they come. */
import { familyOf, prefixLength, type Prefix } from "../model/address.js";
import type { Mapping, PortRange } from "../model/mapping.js";
import type { LazyMappings } from "../model/mappings.js";

/** A mapping, or one port of it (see SPLIT_PORTS in compile.ts). */
export class Unit {
  readonly #mappings: LazyMappings;
  /** Index into the mappings. */
  readonly index: number;
  /** How many ports the mapping has. */
  readonly size: number;
  readonly ports: readonly PortRange[];
  readonly rule: number;
  /** Are the unit and everything after it decided by it alone? */
  readonly isUnconditional: boolean;

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
  }

  /** Not kept: there may be a million. */
  get mapping(): Mapping {
    const mapping = this.#mappings.at(this.index);
    if (mapping === undefined) throw new RangeError(`there is no mapping ${this.index}`);
    return mapping;
  }

  /** The prefixes that it is for, without those whose family it has no sources of. */
  get prefixes(): readonly Prefix[] {
    const all = prefixesOf(this.#mappings.onAt(this.index));
    if (this.isUnconditional) return all;
    const { mapping } = this;
    return all.filter((prefix) => takesFamily(mapping, prefix));
  }
}

/** A unit with one of its sources and one of its interfaces. */
export interface Entry {
  readonly unit: Unit;
  /** Null: from everywhere. */
  readonly from: Prefix | null;
  readonly fromLength: number;
  readonly interface: string | null;
}

const everywhere: readonly Prefix[] = ["0.0.0.0/0" as Prefix, "::/0" as Prefix];

/** All that a mapping's `on` is for: without one, all addresses of both families. */
export function prefixesOf(on: readonly Prefix[]): readonly Prefix[] {
  return on.length === 0 ? everywhere : on;
}

function takesFamily({ from }: Mapping, prefix: Prefix): boolean {
  const family = familyOf(prefix);
  return from === undefined || from.some((source) => familyOf(source) === family);
}

/** Smallest port set first, then longest source, then an explicit interface. */
export function entriesOf(units: readonly Unit[], prefix: Prefix): Entry[] {
  const family = familyOf(prefix);
  const entries = units.flatMap((unit): Entry[] => {
    if (unit.isUnconditional) return [{ unit, from: null, fromLength: 0, interface: null }];
    const { mapping } = unit;
    const sources = mapping.from?.filter((source) => familyOf(source) === family) ?? [null];
    const names = mapping.interfaces ?? [null];
    return sources.flatMap((source) => {
      const fromLength = source === null ? 0 : prefixLength(source);
      const from = fromLength === 0 ? null : source;
      return names.map((name) => ({ unit, from, fromLength, interface: name }));
    });
  });
  return entries.sort(
    (a, b) =>
      a.unit.size - b.unit.size ||
      b.fromLength - a.fromLength ||
      Number(a.interface === null) - Number(b.interface === null),
  );
}

/** From everywhere and on every interface: nothing comes after it. */
export function isLast(entry: Entry): boolean {
  return entry.from === null && entry.interface === null;
}
