/**
 * Mappings of single IPv4 addresses without conditions, which is what nearly all of a large file
 * are: as numbers, where a unit and its prefix as text take 200 bytes and most of the time.
 */
import { words } from "../model/columns.js";

/** In the order in which they were put. */
export class Hosts {
  /** Host byte order. */
  readonly addresses = words();
  /** Indexes of the mappings. */
  readonly indexes = words();
  readonly rules = words();

  get count(): number {
    return this.addresses.length;
  }

  push(address: number, index: number, rule: number): void {
    this.addresses.push(address);
    this.indexes.push(index);
    this.rules.push(rule);
  }
}

/** Which address was put by whom. */
export class HostTable {
  /** The address, and the number of who put it and 1; 0: free. Open addressing. */
  readonly #places: Uint32Array;

  /** `most`: how many addresses may be put. */
  constructor(most: number) {
    this.#places = new Uint32Array(2 ** (Math.ceil(Math.log2(most + 1)) + 2));
  }

  /**
   * The number of who put the address before. Undefined: nobody, and `number` has it from now on.
   */
  put(address: number, number: number): number | undefined {
    const places = this.#places;
    // Neighbours are far from each other, and the high bits decide as much as the low ones (Knuth's
    // multiplicative hashing).
    const hash = Math.imul(address, 0x9e3779b1) >>> 0;
    for (
      let at = (((hash ^ (hash >>> 16)) >>> 0) * 2) % places.length;
      ;
      at = (at + 2) % places.length
    ) {
      const known = places[at + 1] ?? 0;
      if (known === 0) {
        places[at] = address;
        places[at + 1] = number + 1;
        return undefined;
      }
      if (places[at] === address) return known - 1;
    }
  }
}

/**
 * As tables have an address: 16 bytes in network byte order, ::ffff:a.b.c.d. In `into`, which is
 * given back.
 */
export function mappedBytes(address: number, into: Uint8Array): Uint8Array {
  into[10] = 0xff;
  into[11] = 0xff;
  into[12] = address >>> 24;
  into[13] = address >>> 16;
  into[14] = address >>> 8;
  into[15] = address;
  return into;
}
