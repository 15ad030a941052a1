/** The hash functions of bpf/address.h: both sides must agree on where something is. */

/** Computes address_hash with seed 0. */
export function addressHash(address: Uint8Array): number {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  let h = 0;
  h = Math.imul(h ^ view.getUint32(0, true), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ view.getUint32(4, true), 0x85ebca77);
  h = Math.imul(h ^ (h >>> 13) ^ view.getUint32(8, true), 0xc2b2ae3d);
  h = Math.imul(h ^ (h >>> 16) ^ view.getUint32(12, true), 0x27d4eb2f);
  return (h ^ (h >>> 15)) >>> 0;
}

/** Computes prefix_slot of the address at `at`. */
export function prefixSlot(
  view: DataView,
  at: number,
  classFamily: number,
  length: number,
  slots: number,
): number {
  return new PrefixHash(slots).slot(view, at, classFamily, length);
}

/**
 * Computes prefix_slot for many addresses. It reuses whatever equals the previous one: half of each
 * IPv4 address, and mostly class and length.
 */
export class PrefixHash {
  readonly #slots: number;
  readonly #seed: number;
  readonly #first = new Product();
  readonly #owner = new Product();

  constructor(slots: number) {
    this.#slots = slots;
    this.#seed = Math.imul(slots, 0x9e3779b1);
  }

  slot(view: DataView, at: number, classFamily: number, length: number): number {
    const seed = this.#seed;
    const first = this.#first.of(
      (view.getUint32(at, true) + seed) | 0,
      (view.getUint32(at + 4, true) + (seed ^ 0x85ebca77)) | 0,
    );
    const owner = this.#owner.of(
      (classFamily + (seed ^ 0x165667b1)) | 0,
      (length + (seed ^ 0x9fb21c65)) | 0,
    );
    const sum = { high: first.high, low: first.low };
    addProduct(
      sum,
      view.getUint32(at + 8, true) + (seed ^ 0xc2b2ae3d),
      view.getUint32(at + 12, true) + (seed ^ 0x27d4eb2f),
    );
    const low = (sum.low >>> 0) + (owner.low >>> 0);
    sum.high = (sum.high + owner.high + (low > 0xffffffff ? 1 : 0)) | 0;
    sum.low = low | 0;
    const mixed = { high: Math.imul(sum.high, 0x85ebca6b), low: 0 };
    addProduct(mixed, sum.low ^ sum.high, 0x85ebca6b);
    const scaled = { high: 0, low: 0 };
    addProduct(scaled, mixed.high, this.#slots);
    return scaled.high >>> 0;
  }
}

/** A product that is computed again only when a factor changes. */
class Product implements Wide {
  #a = 0;
  #b = 0;
  high = 0;
  low = 0;

  of(a: number, b: number): this {
    if (a === this.#a && b === this.#b) return this;
    this.#a = a;
    this.#b = b;
    this.high = 0;
    this.low = 0;
    addProduct(this, a, b);
    return this;
  }
}

/** A number of 64 bits as two halves of 32 bits, of any sign. */
interface Wide {
  high: number;
  low: number;
}

/** Adds the product of two numbers of 32 bits to `sum`; higher bits are ignored. */
function addProduct(sum: Wide, a: number, b: number): void {
  const [a1, a0, b1, b0] = [(a >>> 16) & 0xffff, a & 0xffff, (b >>> 16) & 0xffff, b & 0xffff];
  const cross = a0 * b1;
  const middle = a1 * b0 + Math.floor((a0 * b0) / 65536) + (cross % 65536);
  const high = a1 * b1 + Math.floor(middle / 65536) + Math.floor(cross / 65536);
  const low = (sum.low >>> 0) + (Math.imul(a, b) >>> 0);
  sum.high = (sum.high + high + (low > 0xffffffff ? 1 : 0)) | 0;
  sum.low = low | 0;
}
