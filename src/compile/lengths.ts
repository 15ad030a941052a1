/**
 * Prefixes arranged for a binary search over their lengths (Waldvogel, Varghese, Turner, Plattner:
 * "Scalable High Speed IP Routing Lookups", 1997): one hash table, and for each class and family a
 * tree of the lengths that occur. A hit at a node's length continues with longer ones, a miss with
 * shorter ones. So a prefix needs a marker at each shorter length on the path to its own. A marker
 * knows the longest prefix around it, in case nothing longer follows after all.
 */
import type { Family } from "../model/address.js";
import { bytes, words } from "../model/columns.js";
import { PrefixColumns, type PrefixTable, bitsAt } from "./tables.js";

/**
 * The nodes of all trees; [0] is the end of a search. Equal trees are stored once, whatever class
 * they belong to.
 */
export interface LengthTable {
  readonly count: number;
  readonly length: Uint8Array;
  /** The next node for shorter lengths; `longer` is that for longer ones. */
  readonly shorter: Uint32Array;
  readonly longer: Uint32Array;
}

/**
 * Markers in the form of prefixes. `target` is that of the longest prefix around a marker, or 0 if
 * there is none.
 */
export interface MarkerTable extends PrefixTable {
  /** The length of the longest prefix around a marker, or 0 if there is none. */
  readonly around: Uint8Array;
}

export interface Search {
  readonly markers: MarkerTable;
  readonly lengths: LengthTable;
  /** The first node of the search, by class; 0 when the class has no prefixes of the family. */
  readonly roots: Readonly<Record<Family, Uint32Array>>;
}

/** The maximum number of lengths that one search may visit: enough for all there are. */
const HIGHEST = 8;

/** The prefixes of one length. */
interface Length {
  readonly length: number;
  readonly count: number;
}

/**
 * Arranges the prefixes for the search. No two prefixes of the table may be the same. `classes` is
 * the number of classes.
 */
export function searchByLength(prefixes: PrefixTable, classes: number): Search {
  const trees = new Trees();
  const markers = new Markers(prefixes, trees);
  const roots = { 4: new Uint32Array(classes + 1), 6: new Uint32Array(classes + 1) };
  const order = sorted(prefixes);
  const { owner, ipv6, length } = prefixes;
  const counts = new Uint32Array(129);
  for (let start = 0, end = 0; start < order.length; start = end) {
    const first = order[start] ?? 0;
    counts.fill(0);
    for (end = start; end < order.length; end++) {
      const index = order[end] ?? 0;
      if (owner[index] !== owner[first] || ipv6[index] !== ipv6[first]) break;
      const bits = length[index] ?? 0;
      counts[bits] = (counts[bits] ?? 0) + 1;
    }
    const root = trees.root(counts);
    roots[ipv6[first] === 1 ? 6 : 4][owner[first] ?? 0] = root;
    markers.mark(order.subarray(start, end), root);
  }
  return { markers: markers.table(), lengths: trees.table(), roots };
}

class Trees {
  readonly #length = bytes();
  readonly #shorter = words();
  readonly #longer = words();
  readonly #known = new Map<string, number>();

  constructor() {
    this.#node(0, 0, 0);
  }

  /** Returns the root of the tree for that many prefixes of each length. */
  root(counts: Uint32Array): number {
    const lengths: Length[] = [];
    counts.forEach((count, length) => {
      if (count > 0) lengths.push({ length, count });
    });
    // One more than the flattest tree has: room for the most common lengths to come first.
    const height = Math.min(HIGHEST, Math.ceil(Math.log2(lengths.length + 1)) + 1);
    return this.#build(lengths, 0, height);
  }

  /** Returns the lengths at which prefixes of this length need a marker. */
  marks(root: number, length: number): number[] {
    const marks: number[] = [];
    for (let node = root; this.#length.at(node) !== length;) {
      const here = this.#length.at(node);
      if (here < length) marks.push(here);
      node = here < length ? this.#longer.at(node) : this.#shorter.at(node);
    }
    return marks;
  }

  /**
   * Chooses the root so that as many searches continue with longer lengths as with shorter ones, if
   * all prefixes are looked up equally often. A search with a hit continues until there is nothing
   * longer. `below` is the number of prefixes of the next shorter length, whose searches end here.
   */
  #build(lengths: readonly Length[], below: number, height: number): number {
    if (lengths.length === 0) return 0;
    const room = 2 ** (height - 1) - 1;
    const all = lengths.reduce((sum, { count }) => sum + count, below);
    let shorter = below;
    let best = { at: 0, difference: Infinity };
    lengths.forEach(({ count }, at) => {
      const difference = Math.abs(all - 2 * shorter);
      const fits = at <= room && lengths.length - at - 1 <= room;
      if (fits && difference <= best.difference) best = { at, difference };
      shorter += count;
    });
    const { length, count } = lengths[best.at] ?? { length: 0, count: 0 };
    return this.#node(
      length,
      this.#build(lengths.slice(0, best.at), below, height - 1),
      this.#build(lengths.slice(best.at + 1), count, height - 1),
    );
  }

  #node(length: number, shorter: number, longer: number): number {
    const key = `${length} ${shorter} ${longer}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#length.push(length);
    this.#shorter.push(shorter);
    const number = this.#longer.push(longer);
    this.#known.set(key, number);
    return number;
  }

  table(): LengthTable {
    return {
      count: this.#length.length,
      length: this.#length.view(),
      shorter: this.#shorter.view(),
      longer: this.#longer.view(),
    };
  }
}

class Markers {
  readonly #prefixes: PrefixTable;
  readonly #trees: Trees;
  readonly #columns = new PrefixColumns();
  readonly #around = bytes();

  constructor(prefixes: PrefixTable, trees: Trees) {
    this.#prefixes = prefixes;
    this.#trees = trees;
  }

  /**
   * Adds the markers of one class and family. `order` sorts the prefixes by address and then
   * length, so what is around a prefix comes before it.
   */
  mark(order: Uint32Array, root: number): void {
    const { address, length, owner, target } = this.#prefixes;
    const marks = new Map<number, readonly number[]>();
    /** The prefixes around the current one, the longest last. */
    const around: number[] = [];
    /** For each length, whether a marker that the current prefix shares exists. */
    const marked = new Uint8Array(129);
    let before = -1;
    for (const index of order) {
      const shared = before < 0 ? 0 : sharedBits(address, before, index);
      while (around.length > 0 && (length[around.at(-1) ?? 0] ?? 0) > shared) around.pop();
      marked.fill(0, shared + 1);
      const own = length[index] ?? 0;
      let wanted = marks.get(own);
      if (wanted === undefined) marks.set(own, (wanted = this.#trees.marks(root, own)));
      for (const bits of wanted) {
        if (marked[bits] === 1) continue;
        marked[bits] = 1;
        const cover = around.findLast((one) => (length[one] ?? 0) <= bits);
        const covered = cover === undefined ? 0 : (length[cover] ?? 0);
        if (covered === bits) continue;
        const { ipv6, address: whole } = bitsAt(this.#prefixes, index);
        const place = { ipv6, address: masked(whole, bits), length: bits };
        this.#columns.pushBits(owner[index] ?? 0, place, target[cover ?? -1] ?? 0);
        this.#around.push(covered);
      }
      around.push(index);
      before = index;
    }
  }

  table(): MarkerTable {
    return { ...this.#columns.table(), around: this.#around.view() };
  }
}

/**
 * Sorts the indexes of the prefixes by owner, family, address and length, with a radix sort from
 * the last byte of all that to the first.
 */
function sorted({ count, owner, ipv6, address, length }: PrefixTable): Uint32Array {
  let order = new Uint32Array(count);
  let next = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  const places = new Uint32Array(257);
  const sortBy = (byteOf: (index: number) => number): void => {
    places.fill(0);
    for (let i = 0; i < count; i++) {
      const after = byteOf(i) + 1;
      places[after] = (places[after] ?? 0) + 1;
    }
    if (places.includes(count)) return;
    for (let byte = 1; byte < 257; byte++) {
      places[byte] = (places[byte] ?? 0) + (places[byte - 1] ?? 0);
    }
    for (const index of order) {
      const byte = byteOf(index);
      const place = places[byte] ?? 0;
      next[place] = index;
      places[byte] = place + 1;
    }
    [order, next] = [next, order];
  };
  sortBy((index) => length[index] ?? 0);
  for (let at = 15; at >= 0; at--) sortBy((index) => address[index * 16 + at] ?? 0);
  sortBy((index) => ipv6[index] ?? 0);
  for (const shift of [0, 8, 16, 24]) sortBy((index) => ((owner[index] ?? 0) >>> shift) & 0xff);
  return order;
}

/** Returns the number of leading bits that two addresses of the column have in common. */
function sharedBits(address: Uint8Array, one: number, other: number): number {
  for (let at = 0; at < 16; at++) {
    const differs = (address[one * 16 + at] ?? 0) ^ (address[other * 16 + at] ?? 0);
    if (differs !== 0) return at * 8 + Math.clz32(differs) - 24;
  }
  return 128;
}

/** Returns a mask of this many bits, in the form of the tables' addresses. */
export function maskOf(length: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, at) => {
    const bits = Math.min(8, Math.max(0, length - at * 8));
    return (0xff00 >> bits) & 0xff;
  });
}

/** Returns the address with all bits after the first `length` cleared. */
export function masked(address: Uint8Array, length: number): Uint8Array {
  const mask = maskOf(length);
  return address.map((byte, at) => byte & (mask[at] ?? 0));
}
