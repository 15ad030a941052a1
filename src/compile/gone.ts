/** What the removal of mappings means for the others. */
import type { Mapping } from "../model/mapping.js";
import type { MappingColumns } from "../model/mapping-columns.js";
import { sharedPorts } from "../model/ports.js";
import { prefixesOf } from "../rules/order.js";

/**
 * Reports whether mappings that stay may have been hidden by those that go, for one of their
 * prefixes and one of their ports. `isGone` tells by the index among all mappings before the
 * change.
 */
export function mayHaveHidden(
  gone: readonly Mapping[],
  before: MappingColumns,
  isGone: (index: number) => boolean,
): boolean {
  if (gone.length === 0) return false;
  const byPrefix = new Map<string, Mapping[]>();
  for (const mapping of gone) {
    for (const prefix of prefixesOf(mapping.on)) {
      const known = byPrefix.get(prefix);
      if (known === undefined) byPrefix.set(prefix, [mapping]);
      else known.push(mapping);
    }
  }
  const prefixes = [...new Set(gone.flatMap(({ on }) => prefixesOf(on)))];
  for (const index of before.indexesOn(prefixes)) {
    if (isGone(index)) continue;
    const other = before.at(index);
    if (other === undefined) continue;
    const near = prefixesOf(other.on).flatMap((prefix) => byPrefix.get(prefix) ?? []);
    if (near.some((mapping) => haveCommonPort(mapping, other))) return true;
  }
  return false;
}

function haveCommonPort(one: Mapping, other: Mapping): boolean {
  return one.protocol === other.protocol && sharedPorts(one.ports, other.ports).length > 0;
}
