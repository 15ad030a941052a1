/** `--limit`: how much of a long list is shown. */
import { parseLimit } from "../../daemon/chosen.js";
import { count } from "../../words/text.js";

export interface LimitOptions {
  readonly limit?: string;
}

export interface Limited<Item> {
  readonly shown: readonly Item[];
  /** How many are left out. */
  readonly rest: number;
}

/** Returns the first of a list. `things` is what they are, in the plural. Throws USAGE. */
export function limitTo<Item>(
  list: readonly Item[],
  { limit }: LimitOptions,
  things: string,
): Limited<Item> {
  const most = limit === undefined ? Infinity : parseLimit(limit, "--limit", things);
  const shown = list.slice(0, most);
  return { shown, rest: list.length - shown.length };
}

/** Says how much is left out, as the last line of a list; empty for nothing. */
export function describeRest({ rest }: Limited<unknown>, singular: string): string {
  return rest === 0 ? "" : `and ${count(rest, `more ${singular}`)}: shown with a higher --limit\n`;
}
