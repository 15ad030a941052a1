/**
 * Finds which of a million mappings has a name. It stores numbers only, as a map of texts takes 100
 * bytes per name.
 */
import type { Mapping } from "./mapping.js";

export type Named = Pick<Mapping, "name" | "protocol">;

/** Computes FNV-1a over UTF-16 code units (draft-eastlake-fnv), seeded with the protocol. */
function hashOf({ name, protocol }: Named): number {
  let hash = protocol === "udp" ? 0x811c9dc5 : 0x1b873593;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  // The low bits choose the place, and are decided almost by the last code units alone.
  hash ^= hash >>> 15;
  return hash >>> 0;
}

export class NameTable {
  /** Returns what has the index. It is called when two hashes are equal. */
  readonly #at: (index: number) => Named | undefined;
  /** Pairs of index plus 1 and hash; 0 is free. Open addressing. */
  #places: Uint32Array;
  #count = 0;

  /** `expected` is the likely number of names. */
  constructor(at: (index: number) => Named | undefined, expected = 0) {
    this.#at = at;
    const places = Math.max(1024, 2 ** (Math.ceil(Math.log2(expected + 1)) + 1));
    this.#places = new Uint32Array(2 * places);
  }

  /**
   * Adds a name. Returns the index of the one with the same name and protocol, which stays. Returns
   * undefined when there was none, and the name now has `index`.
   */
  put(named: Named, index: number): number | undefined {
    if (this.#count * 2 >= this.#places.length / 2) this.#grow();
    const hash = hashOf(named);
    const place = this.#place(named, hash);
    const known = this.#places[place] ?? 0;
    if (known !== 0) return known - 1;
    this.#places[place] = index + 1;
    this.#places[place + 1] = hash;
    this.#count++;
    return undefined;
  }

  /** Returns the index of the one with this name and protocol. */
  find(named: Named): number | undefined {
    const known = this.#places[this.#place(named, hashOf(named))] ?? 0;
    return known === 0 ? undefined : known - 1;
  }

  /** Returns where the name is, or else where it would be. */
  #place({ name, protocol }: Named, hash: number): number {
    const places = this.#places;
    for (let place = (hash * 2) % places.length; ; place = (place + 2) % places.length) {
      const known = places[place] ?? 0;
      if (known === 0) return place;
      if (places[place + 1] !== hash) continue;
      const other = this.#at(known - 1);
      if (other?.name === name && other.protocol === protocol) return place;
    }
  }

  #grow(): void {
    const before = this.#places;
    const places = new Uint32Array(before.length * 2);
    for (let at = 0; at < before.length; at += 2) {
      if (before[at] === 0) continue;
      let place = ((before[at + 1] ?? 0) * 2) % places.length;
      while (places[place] !== 0) place = (place + 2) % places.length;
      places[place] = before[at] ?? 0;
      places[place + 1] = before[at + 1] ?? 0;
    }
    this.#places = places;
  }
}
