/**
 * Mappings of single IPv4 addresses without conditions, which are nearly all of a large file, as
 * numbers: a unit and its prefix as text would take 200 bytes, and most of the time.
 */
import { words } from "../model/columns.js";

/** Hosts in the order in which they were added. */
export class Hosts {
  /** The addresses as numbers, in host byte order. */
  readonly addresses = words();
  /** The indexes of the mappings. */
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

/** Records which host added an address first. */
export class HostTable {
  /** Pairs of an address and the number of its host plus 1; 0 is free. Open addressing. */
  readonly #places: Uint32Array;

  /** `most` is the maximum number of addresses. */
  constructor(most: number) {
    this.#places = new Uint32Array(2 ** (Math.ceil(Math.log2(most + 1)) + 2));
  }

  /**
   * Returns the number of the host that added the address before. Returns undefined when none
   * did, and records `number` for it.
   */
  put(address: number, number: number): number | undefined {
    const places = this.#places;
    // Spread neighbours far apart, and let the high bits decide as much as the low ones (Knuth's
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
 * Writes an address in the tables' form into `into` and returns it: 16 bytes in network byte order,
 * ::ffff:a.b.c.d.
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
