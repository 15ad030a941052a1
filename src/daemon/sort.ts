/** The orders in which mappings are listed. Pure. */
import type { LazyMappings } from "../model/mappings.js";

/**
 * `rules` is the order of the configuration, with what was added at run time last. Orders by a
 * number begin with the largest. What is alike in an order stays in that of the rules.
 */
export const sortOrders = [
  "rules",
  "name",
  "port",
  "selected",
  "missed",
  "rate",
  "connections",
] as const;
export type SortOrder = (typeof sortOrders)[number];

/**
 * Sorts indexes of mappings, which are in the order of the rules. `amountOf` returns the number
 * that an order goes by, for the mapping at this place of `indexes`; null, for one that is not
 * known, comes last.
 */
export function sortIndexes(
  mappings: LazyMappings,
  indexes: readonly number[],
  order: SortOrder,
  amountOf: (place: number) => number | null,
): number[] {
  switch (order) {
    case "rules":
      return [...indexes];
    case "name":
      return sortBy(indexes, (_, index) => mappings.nameAt(index));
    case "port":
      return sortBy(indexes, (_, index) => mappings.portsAt(index)[0]?.first ?? 0);
    default:
      return sortBy(indexes, (place) => -(amountOf(place) ?? -1));
  }
}

/** The sort is stable. Texts are compared by their code units, which no locale changes. */
function sortBy(
  indexes: readonly number[],
  keyOf: (place: number, index: number) => number | string,
): number[] {
  return indexes
    .map((index, place) => ({ index, key: keyOf(place, index) }))
    .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ index }) => index);
}
