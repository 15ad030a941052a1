/**
 * Which of several mappings decides: the one order in which tables are compiled, explanations are
 * given, and changes are compared. The longest `on` wins, then the fewest ports, then the longest
 * `from`, then a named interface. Mappings that tie in all of that are refused when both could take
 * the same connection.
 */
import {
  type Address,
  type Family,
  type Prefix,
  familyOf,
  prefixAddress,
  prefixContains,
  prefixLength,
} from "../model/address.js";
import type { Mapping } from "../model/mapping.js";
import type { Rules } from "../model/rules.js";

/** One source and one interface of a mapping; null is any. */
export interface Condition {
  readonly from: Prefix | null;
  /** The length of `from` in bits; 0 is any source. */
  readonly fromLength: number;
  readonly interface: string | null;
}

export interface Rank extends Pick<Condition, "fromLength" | "interface"> {
  /** The length of the prefix in `on`, in bits. */
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

/** Compares two ranks. The result is below 0 when `left` decides where both could. */
export function compareRanks(left: Rank, right: Rank): number {
  return (
    right.onLength - left.onLength ||
    left.ports - right.ports ||
    right.fromLength - left.fromLength ||
    Number(left.interface === null) - Number(right.interface === null)
  );
}

/** Returns all prefixes of a mapping's `on`: without one, all addresses of both families. */
export function prefixesOf(on: readonly Prefix[]): readonly Prefix[] {
  return on.length === 0 ? everywhere : on;
}

/**
 * Combines every source with every interface. Returns none when the mapping has sources, but none
 * of this family.
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
 * Returns the services' addresses. What is dialled on one is decided by mappings for exactly that
 * address, and by no wider ones.
 */
export function ownedBy(services: Rules["file"]["services"]): ReadonlySet<Address> {
  return new Set(services.flatMap((service) => service.addresses));
}

/** Reports whether wider prefixes are not consulted for this one. */
export function isOwned(prefix: Prefix, owned: ReadonlySet<Address>): boolean {
  return isHost(prefix) && owned.has(prefixAddress(prefix));
}

/**
 * Returns the length, in bits, of the longest of the mapping's prefixes that decides for the
 * address, or null when none does.
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
