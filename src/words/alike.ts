/** Groups what is said alike about many, so that 500 warnings of one kind are read as one. */
import { namesShown } from "./text.js";

/** Up to this many are all shown. */
const SHOWN = 3;

/** What is said, and whatever is left out as it says the same of others. */
export interface Grouped<Item> {
  readonly item: Item;
  /** Those like it, which are not shown. */
  readonly others: readonly Item[];
}

/**
 * Groups items of which `kindOf` says the same. Where there are many of a kind, the first stands
 * for all; the order is that of the first of each kind.
 */
export function groupAlike<Item>(
  items: readonly Item[],
  kindOf: (item: Item) => string,
): Grouped<Item>[] {
  const kinds = new Map<string, Item[]>();
  for (const item of items) {
    const kind = kindOf(item);
    const known = kinds.get(kind);
    if (known === undefined) kinds.set(kind, [item]);
    else known.push(item);
  }
  return [...kinds.values()].flatMap((alike): Grouped<Item>[] => {
    const [first, ...others] = alike;
    if (first === undefined) return [];
    if (alike.length <= SHOWN) return alike.map((item) => ({ item, others: [] }));
    return [{ item: first, others }];
  });
}

/**
 * Returns what a message says, without what it says it about: quoted words, words with a digit such
 * as addresses, and `names` are left out.
 */
export function gist(message: string, names: readonly string[]): string {
  const isName = (word: string): boolean => /\d/.test(word) || names.includes(word);
  return message
    .replaceAll(/"[^"]*"/g, "#")
    .replaceAll(/[^\s,;()]+/g, (word) => (isName(word) ? "#" : word));
}

/**
 * Groups items that say the same of different places, however few: the first says it, and of each
 * other one only the words are returned that it has instead.
 */
export function mergeSame<Item>(
  items: readonly Item[],
  sayingOf: (item: Item) => { readonly key: string; readonly text: string },
): { readonly item: Item; readonly elsewhere: readonly string[] }[] {
  const found = new Map<string, { item: Item; text: string; elsewhere: string[] }>();
  for (const item of items) {
    const { key, text } = sayingOf(item);
    const known = found.get(key);
    if (known === undefined) found.set(key, { item, text, elsewhere: [] });
    else known.elsewhere.push(wordsInstead(known.text, text));
  }
  return [...found.values()].map(({ item, elsewhere }) => ({ item, elsewhere }));
}

/** Returns the words of `other` that are not in `text`: `fd5e:ed00::10` beside `127.0.1.10`. */
function wordsInstead(text: string, other: string): string {
  const wordsOf = (from: string): string[] => from.match(/[^\s,;()]+/g) ?? [];
  const known = new Set(wordsOf(text));
  return [...new Set(wordsOf(other))].filter((word) => !known.has(word)).join(" ");
}

/** Says how many more there are like the one before, and names the first; empty for none. */
export function describeOthers(names: readonly string[]): string {
  if (names.length === 0) return "";
  return `and ${names.length} more like it: ${namesShown(names)} (--json has all)`;
}
