/** What it means for the others when mappings go. */
import type { Mapping } from "../model/mapping.js";
import type { MappingColumns } from "../model/mapping-columns.js";
import { everywhere } from "./entries.js";

/**
 * May some of the mappings that stay have stood behind those that go: for one of their prefixes, and one of their ports? `isGone`: of an
 * index among all of them, before.
 */
export function mayHaveHidden(
  gone: readonly Mapping[],
  before: MappingColumns,
  isGone: (index: number) => boolean,
): boolean {
  if (gone.length === 0) return false;
  const byPrefix = new Map<string, Mapping[]>();
  for (const mapping of gone) {
    for (const prefix of prefixesOf(mapping)) {
      const known = byPrefix.get(prefix);
      if (known === undefined) byPrefix.set(prefix, [mapping]);
      else known.push(mapping);
    }
  }
  const prefixes = [...new Set(gone.flatMap(prefixesOf))];
  for (const index of before.indexesOn(prefixes)) {
    if (isGone(index)) continue;
    const other = before.at(index);
    if (other === undefined) continue;
    const near = prefixesOf(other).flatMap((prefix) => byPrefix.get(prefix) ?? []);
    if (near.some((mapping) => haveCommonPort(mapping, other))) return true;
  }
  return false;
}

function prefixesOf({ on }: Mapping): Mapping["on"] {
  return on.length === 0 ? everywhere : on;
}

function haveCommonPort(one: Mapping, other: Mapping): boolean {
  return (
    one.protocol === other.protocol &&
    one.ports.some(({ first, last }) =>
      other.ports.some((range) => range.first <= last && first <= range.last),
    )
  );
}
