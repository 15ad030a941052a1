/**
 * Which of several mappings decides: the one order that tables are compiled in, explanations are
 * told in, and changes are compared by. The longest `on`, then the fewest ports, then the longest
 * `from`, then a named interface. Who ties in all of that is refused when both could take the same
 * connection.
 */
import { type Address, type Family, type Prefix } from "../model/address.js";
import { familyOf, prefixAddress, prefixContains, prefixLength } from "../model/address.js";
import type { Mapping } from "../model/mapping.js";
import type { Rules } from "../model/rules.js";

/** One source and one interface of a mapping; null: any. */
export interface Condition {
  readonly from: Prefix | null;
  /** In bits; 0: from everywhere. */
  readonly fromLength: number;
  readonly interface: string | null;
}

export interface Rank extends Pick<Condition, "fromLength" | "interface"> {
  /** Length of the prefix of `on`, in bits. */
  readonly onLength: number;
  /** How many ports the mapping has. */
  readonly ports: number;
}

export const everyAddress: Readonly<Record<Family, Prefix>> = {
  4: "0.0.0.0/0" as Prefix,
  6: "::/0" as Prefix,
};
const everywhere: readonly Prefix[] = Object.values(everyAddress);

export const unconditional: Condition = { from: null, fromLength: 0, interface: null };

/** Less than 0: `left` decides where both could. */
export function compareRanks(left: Rank, right: Rank): number {
  return (
    right.onLength - left.onLength ||
    left.ports - right.ports ||
    right.fromLength - left.fromLength ||
    Number(left.interface === null) - Number(right.interface === null)
  );
}

/** All that a mapping's `on` is for: without one, all addresses of both families. */
export function prefixesOf(on: readonly Prefix[]): readonly Prefix[] {
  return on.length === 0 ? everywhere : on;
}

/**
 * Every source with every interface; none when the mapping has sources, and none of this family.
 */
export function conditionsOf(
  { from, interfaces }: Pick<Mapping, "from" | "interfaces">,
  family: Family,
): Condition[] {
  const sources = from?.filter((source) => familyOf(source) === family) ?? [null];
  return sources.flatMap((source) => {
    const fromLength = source === null ? 0 : prefixLength(source);
    const prefix = fromLength === 0 ? null : source;
    return (interfaces ?? [null]).map((name) => ({ from: prefix, fromLength, interface: name }));
  });
}

function isHost(prefix: Prefix): boolean {
  return prefixLength(prefix) === (familyOf(prefix) === 4 ? 32 : 128);
}

/**
 * The services' addresses: what is dialled on one is decided by mappings for just that address, and
 * by no wider one.
 */
export function ownedBy(services: Rules["file"]["services"]): ReadonlySet<Address> {
  return new Set(services.flatMap((service) => service.addresses));
}

/** Is nothing wider asked for this prefix? */
export function isOwned(prefix: Prefix, owned: ReadonlySet<Address>): boolean {
  return isHost(prefix) && owned.has(prefixAddress(prefix));
}

/**
 * Length in bits of the longest of the mapping's prefixes that decides for the address; null: none
 * does.
 */
export function onLength(
  { on }: Pick<Mapping, "on">,
  address: Address,
  owned: ReadonlySet<Address>,
): number | null {
  const lengths = prefixesOf(on)
    .filter((prefix) => prefixContains(prefix, address) && (!owned.has(address) || isHost(prefix)))
    .map(prefixLength);
  return lengths.length === 0 ? null : Math.max(...lengths);
}
