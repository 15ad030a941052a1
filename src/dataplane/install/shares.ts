/**
 * The table that says how often each destination was selected (bpf/tables.h, shares), and how many
 * destinations of a mapping it can tell apart.
 */
import type { DestinationTable } from "../../compile/tables.js";
import type { BpfMap, PutValues } from "../../kernel/bpf/map.js";

/** The bytes of a count. */
export const SHARE_BYTES = 8;

/**
 * The destinations that every table tells apart: more of them need new tables. What stays for the
 * first one is worked out, so it has no places.
 */
const TOLD_APART_AT_LEAST = 4;

/** Returns how many destinations have places in tables for these. */
export function sharesFor(...tables: readonly Pick<DestinationTable, "share">[]): number {
  let most = TOLD_APART_AT_LEAST;
  for (const { share } of tables) for (const one of share) most = Math.max(most, one + 1);
  // Doubled, so that the next changes fit in.
  return 2 ** Math.ceil(Math.log2(most)) - 1;
}

/** Reports whether a table with that many tells all these destinations apart. */
export function tellsApart({ share }: Pick<DestinationTable, "share">, shares: number): boolean {
  return share.every((one) => one <= shares);
}

const putZeros: PutValues = ({ buffer, byteOffset, byteLength }) => {
  new Uint8Array(buffer, byteOffset, byteLength).fill(0);
};

/** Receives the counts of neighbouring places: how many came before, and their values. */
type Look = (before: number, values: Uint8Array) => void;

export interface ShareTable {
  /** How many destinations of a mapping have places: all but the first. */
  readonly shares: number;
  /** Reads what the mappings in `count` places from `first` on have selected of one destination. */
  readParts(share: number, count: number, first: number, look: Look): void;
}

export class CopiedShares implements ShareTable {
  readonly #map: BpfMap;
  readonly #copies: number;
  readonly #slots: number;

  /** `slots` is the number of counters in each of the copies. */
  constructor(map: BpfMap, copies: number, slots: number) {
    this.#map = map;
    this.#copies = copies;
    this.#slots = slots;
  }

  get shares(): number {
    return this.#map.maxEntries / (this.#copies * this.#slots);
  }

  /** Returns the index of the place in each copy. */
  #places(share: number, place: number): number[] {
    return Array.from(
      { length: this.#copies },
      (_, copy) => ((share - 1) * this.#copies + copy) * this.#slots + place,
    );
  }

  readParts(share: number, count: number, first: number, look: Look): void {
    for (const start of this.#places(share, first)) this.#map.readParts(count, start, look);
  }

  /** Zeroes the places of mappings, where their previous owners have counted. */
  clear(first: number, count: number): void {
    for (let share = 1; share <= this.shares; share++) {
      for (const start of this.#places(share, first)) this.#map.writeArray(count, putZeros, start);
    }
  }
}
