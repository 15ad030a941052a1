/** The hashes of bpf/address.h: both sides must agree on where something is. */

/** address_hash with seed 0 */
export function addressHash(address: Uint8Array): number {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  let h = 0;
  h = Math.imul(h ^ view.getUint32(0, true), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ view.getUint32(4, true), 0x85ebca77);
  h = Math.imul(h ^ (h >>> 13) ^ view.getUint32(8, true), 0xc2b2ae3d);
  h = Math.imul(h ^ (h >>> 16) ^ view.getUint32(12, true), 0x27d4eb2f);
  return (h ^ (h >>> 15)) >>> 0;
}

/** prefix_slot, of the address at `at` */
export function prefixSlot(
  view: DataView,
  at: number,
  classFamily: number,
  length: number,
  slots: number,
): number {
  const word = (index: number): number => view.getUint32(at + index * 4, true);
  const seed = Math.imul(slots, 0x9e3779b1);
  const sum = { high: 0, low: 0 };
  addProduct(sum, word(0) + seed, word(1) + (seed ^ 0x85ebca77));
  addProduct(sum, word(2) + (seed ^ 0xc2b2ae3d), word(3) + (seed ^ 0x27d4eb2f));
  addProduct(sum, classFamily + (seed ^ 0x165667b1), length + (seed ^ 0x9fb21c65));
  const mixed = { high: Math.imul(sum.high, 0x85ebca6b), low: 0 };
  addProduct(mixed, sum.low ^ sum.high, 0x85ebca6b);
  const scaled = { high: 0, low: 0 };
  addProduct(scaled, mixed.high, slots);
  return scaled.high >>> 0;
}

/** 64 bits, as two times 32 of any sign. */
interface Wide {
  high: number;
  low: number;
}

/** Of two numbers of 32 bits; more of them are ignored. */
function addProduct(sum: Wide, a: number, b: number): void {
  const [a1, a0, b1, b0] = [(a >>> 16) & 0xffff, a & 0xffff, (b >>> 16) & 0xffff, b & 0xffff];
  const cross = a0 * b1;
  const middle = a1 * b0 + Math.floor((a0 * b0) / 65536) + (cross % 65536);
  const high = a1 * b1 + Math.floor(middle / 65536) + Math.floor(cross / 65536);
  const low = (sum.low >>> 0) + (Math.imul(a, b) >>> 0);
  sum.high = (sum.high + high + (low > 0xffffffff ? 1 : 0)) | 0;
  sum.low = low | 0;
}
