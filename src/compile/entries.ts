/** The mappings that compete for one prefix of one class of ports, in the order in which they come. */
import { familyOf, prefixLength, type Prefix } from "../model/address.js";
import { type Mapping, type PortRange, isConditional } from "../model/mapping.js";

/** A mapping, or one port of it (see SPLIT_PORTS in units.ts). */
export interface Unit {
  /** Index into the mappings. */
  readonly index: number;
  readonly mapping: Mapping;
  /** How many ports the mapping has. */
  readonly size: number;
  readonly ports: readonly PortRange[];
  readonly rule: number;
}

/** A unit with one of its sources and one of its interfaces. */
export interface Entry {
  readonly unit: Unit;
  /** Null: from everywhere. */
  readonly from: Prefix | null;
  readonly fromLength: number;
  readonly interface: string | null;
}

export const everywhere: readonly Prefix[] = ["0.0.0.0/0" as Prefix, "::/0" as Prefix];

/** The prefixes that a unit is for, without those whose family it has no sources of. */
export function* prefixesOf(mapping: Mapping): Generator<Prefix> {
  for (const prefix of mapping.on.length === 0 ? everywhere : mapping.on) {
    if (takesFamily(mapping, prefix)) yield prefix;
  }
}

function takesFamily({ from }: Mapping, prefix: Prefix): boolean {
  const family = familyOf(prefix);
  return from === undefined || from.some((source) => familyOf(source) === family);
}

/** Are the unit and everything after it decided by it alone? */
export function isUnconditional({ mapping }: Unit): boolean {
  return !isConditional(mapping);
}

/** Smallest port set first, then longest source, then an explicit interface. */
export function entriesOf(units: readonly Unit[], prefix: Prefix): Entry[] {
  const family = familyOf(prefix);
  const entries = units.flatMap((unit): Entry[] => {
    const sources = unit.mapping.from?.filter((source) => familyOf(source) === family) ?? [null];
    const names = unit.mapping.interfaces ?? [null];
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
