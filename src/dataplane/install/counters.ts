/**
 * The table of counters: how many copies it has, and how a mapping's counters are read from all of
 * them.
 */
import { countersLayout } from "../../abi/generated.js";
import type { BpfMap, PutValues } from "../../kernel/bpf/map.js";

/**
 * The limit for all copies together, in bytes, unless a single copy exceeds it: twice what a
 * million mappings take in one copy, and less than their other tables take.
 */
export const COUNTER_BYTES = 64 << 20;

/** How the programs count. */
export interface Copies {
  /** A power of two. A CPU counts in the copy that the low bits of its number select. */
  readonly copies: number;
  /** True when several CPUs may count in the same copy at the same moment. */
  readonly shared: boolean;
}

/**
 * Chooses a copy for each CPU, or as many as fit into `bytes`: CPUs that share a copy fetch its
 * cache lines from each other. `slots` is the size of each copy; `cpus` is one more than the
 * highest possible CPU number. Each counter has `beside` bytes in another table, in as many copies.
 */
export function copiesFor(
  slots: number,
  cpus: number,
  bytes: number = COUNTER_BYTES,
  beside = 0,
): Copies {
  const wanted = 2 ** Math.ceil(Math.log2(cpus));
  const room = Math.max(1, Math.floor(bytes / (slots * (countersLayout.size + beside))));
  const copies = Math.min(wanted, 2 ** Math.floor(Math.log2(room)));
  return { copies, shared: copies < cpus };
}

/**
 * Receives the counters of some neighbouring places, `each` records per place: how many places came
 * before, and their values, which are valid during the call only.
 */
type Look = (before: number, values: Uint8Array, each: number) => void;

export interface CounterTable {
  /** The number of places. */
  readonly maxEntries: number;
  /** Reads everything that has to be summed for `count` places from `first` on. */
  readParts(count: number, first: number, look: Look): void;
}

const putZeros: PutValues = ({ buffer, byteOffset, byteLength }) => {
  new Uint8Array(buffer, byteOffset, byteLength).fill(0);
};

/** Copies one behind the other, as the programs of this version have them. */
export class CopiedCounters implements CounterTable {
  readonly #map: BpfMap;
  readonly #copies: number;

  constructor(map: BpfMap, copies: number) {
    this.#map = map;
    this.#copies = copies;
  }

  get maxEntries(): number {
    return this.#map.maxEntries / this.#copies;
  }

  /** Returns the index of the place in each copy. */
  #places(place: number): number[] {
    return Array.from({ length: this.#copies }, (_, copy) => copy * this.maxEntries + place);
  }

  readParts(count: number, first: number, look: Look): void {
    for (const start of this.#places(first)) {
      this.#map.readParts(count, start, (before, values) => {
        look(before, values, 1);
      });
    }
  }

  /** Zeroes the places, where their previous owner has counted. */
  clear(first: number, count: number): void {
    for (const start of this.#places(first)) this.#map.writeArray(count, putZeros, start);
  }
}

/** A value for each CPU, as in formats up to 11. */
export class CountersOfEachCpu implements CounterTable {
  readonly #map: BpfMap;

  constructor(map: BpfMap) {
    this.#map = map;
  }

  get maxEntries(): number {
    return this.#map.maxEntries;
  }

  readParts(count: number, first: number, look: Look): void {
    const each = this.#map.valueSize / countersLayout.size;
    this.#map.readParts(count, first, (before, values) => {
      look(before, values, each);
    });
  }
}
