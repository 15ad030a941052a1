/**
 * Prefixes as a search by halving their lengths wants them (Waldvogel, Varghese, Turner, Plattner:
 * "Scalable High Speed IP Routing Lookups", 1997): one hash table, and for each class and family a
 * tree of the lengths that occur. What is found at a node's length sends the search on to longer
 * ones, nothing to shorter ones. So a prefix needs a marker at each shorter length on the way to
 * its own; a marker knows the longest prefix around it, for where there is nothing longer after
 * all.
 */
import type { Family } from "../model/address.js";
import { bytes, words } from "../model/columns.js";
import { PrefixColumns, type PrefixTable, bitsAt } from "./tables.js";

/**
 * Nodes of all trees; [0] is the end of a search. Equal trees are one, whatever class they are of.
 */
export interface LengthTable {
  readonly count: number;
  readonly length: Uint8Array;
  /** Nodes. */
  readonly shorter: Uint32Array;
  readonly longer: Uint32Array;
}

/** As prefixes; `target` is that of the longest prefix around, 0: there is none. */
export interface MarkerTable extends PrefixTable {
  /** Its length; 0: there is none. */
  readonly around: Uint8Array;
}

export interface Search {
  readonly markers: MarkerTable;
  readonly lengths: LengthTable;
  /** Where the search begins, by class; 0: the class has no prefixes of the family. */
  readonly roots: Readonly<Record<Family, Uint32Array>>;
}

/** Lengths that one search may look at: enough for all there are. */
const HIGHEST = 8;

/** Prefixes of one length. */
interface Length {
  readonly length: number;
  readonly count: number;
}

/** No two prefixes of the table are the same. `classes`: how many there are. */
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

  /** Of the tree for so many prefixes of each length. */
  root(counts: Uint32Array): number {
    const lengths: Length[] = [];
    counts.forEach((count, length) => {
      if (count > 0) lengths.push({ length, count });
    });
    // One more than the flattest tree has: room for the commonest lengths to come first.
    const height = Math.min(HIGHEST, Math.ceil(Math.log2(lengths.length + 1)) + 1);
    return this.#build(lengths, 0, height);
  }

  /** The lengths at which prefixes of the length need a marker. */
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
   * The root is where as many searches go on to longer ones as to shorter ones, if each prefix is
   * found as often as any; a search that found one goes on until there is nothing longer. `below`:
   * of the next shorter length, which come here in the end.
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
   * `order`: the prefixes of one class and family by address, and then by length: what is around
   * one comes before it.
   */
  mark(order: Uint32Array, root: number): void {
    const { address, length, owner, target } = this.#prefixes;
    const marks = new Map<number, readonly number[]>();
    /** Prefixes around the one that is looked at, the longest last. */
    const around: number[] = [];
    /** By length: there is a marker that the prefix shares. */
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
 * Indexes of the prefixes by owner, family, address and length: by one byte of all that after the
 * other, the last first.
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

/** How many bits two addresses of the column begin with that are the same. */
function sharedBits(address: Uint8Array, one: number, other: number): number {
  for (let at = 0; at < 16; at++) {
    const differs = (address[one * 16 + at] ?? 0) ^ (address[other * 16 + at] ?? 0);
    if (differs !== 0) return at * 8 + Math.clz32(differs) - 24;
  }
  return 128;
}

/** A mask of so many bits, as the addresses of the tables have them. */
export function maskOf(length: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, at) => {
    const bits = Math.min(8, Math.max(0, length - at * 8));
    return (0xff00 >> bits) & 0xff;
  });
}

/** The address with nothing behind so many bits. */
export function masked(address: Uint8Array, length: number): Uint8Array {
  const mask = maskOf(length);
  return address.map((byte, at) => byte & (mask[at] ?? 0));
}
