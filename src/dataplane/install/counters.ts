/** The table of counters: how many copies it has, and what a mapping has counted in all of them. */
import { countersLayout } from "../../abi/generated.js";
import type { BpfMap, PutValues } from "../../kernel/bpf/map.js";

/**
 * Bytes that all copies together take, if one does not take more: twice as much as a million
 * mappings have in one copy, and less than their other tables take.
 */
export const COUNTER_BYTES = 64 << 20;

/** How the programs count. */
export interface Copies {
  /** A power of two: a CPU counts in the one that the low bits of its number give. */
  readonly copies: number;
  /** More than one may count in the same copy at the same moment. */
  readonly shared: boolean;
}

/**
 * A copy for each CPU, or as many as there is room for: CPUs that share one fetch its cache lines
 * from each other. `slots`: of each copy. `cpus`: one more than the highest number that a CPU may
 * have.
 */
export function copiesFor(slots: number, cpus: number, bytes: number = COUNTER_BYTES): Copies {
  const wanted = 2 ** Math.ceil(Math.log2(cpus));
  const room = Math.max(1, Math.floor(bytes / (slots * countersLayout.size)));
  const copies = Math.min(wanted, 2 ** Math.floor(Math.log2(room)));
  return { copies, shared: copies < cpus };
}

/**
 * Counters of some neighbouring places, `each` for a place: how many places came before, and their
 * values, as long as the call lasts.
 */
type Look = (before: number, values: Uint8Array, each: number) => void;

export interface CounterTable {
  /** Places. */
  readonly maxEntries: number;
  /** Of `count` places from `first` on, all that is to be added up. */
  readParts(count: number, first: number, look: Look): void;
}

const putZeros: PutValues = ({ buffer, byteOffset, byteLength }) => {
  new Uint8Array(buffer, byteOffset, byteLength).fill(0);
};

/** Copies behind one another, as the programs of this version have them. */
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

  /** Where each copy has the place. */
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

  /** Whoever had the places before has counted there. */
  clear(first: number, count: number): void {
    for (const start of this.#places(first)) this.#map.writeArray(count, putZeros, start);
  }
}

/** A value for each CPU, as formats up to 11 have it. */
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
