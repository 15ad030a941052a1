/**
 * Which mapping has a name, of a million: numbers alone, as a map of texts takes 100 bytes for
 * each.
 */
import type { Mapping } from "./mapping.js";

export type Named = Pick<Mapping, "name" | "protocol">;

/** FNV-1a over UTF-16 code units (draft-eastlake-fnv), begun with the protocol. */
function hashOf({ name, protocol }: Named): number {
  let hash = protocol === "udp" ? 0x811c9dc5 : 0x1b873593;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  // The low bits choose the place, and the last code units decide them nearly alone.
  hash ^= hash >>> 15;
  return hash >>> 0;
}

export class NameTable {
  /** What has the index; asked for when two hashes are equal. */
  readonly #at: (index: number) => Named | undefined;
  /** Index and 1, and the hash; 0: free. Open addressing. */
  #places: Uint32Array;
  #count = 0;

  /** `expected`: how many are likely to be put. */
  constructor(at: (index: number) => Named | undefined, expected = 0) {
    this.#at = at;
    const places = Math.max(1024, 2 ** (Math.ceil(Math.log2(expected + 1)) + 1));
    this.#places = new Uint32Array(2 * places);
  }

  /**
   * Of the one with the same name and protocol. Undefined: there was none, and `index` has it from
   * now on.
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

  /** The index of the one with this name and protocol. */
  find(named: Named): number | undefined {
    const known = this.#places[this.#place(named, hashOf(named))] ?? 0;
    return known === 0 ? undefined : known - 1;
  }

  /** Where it is, or else where it would be. */
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
