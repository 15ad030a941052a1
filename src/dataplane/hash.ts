/** The hashes of bpf/address.h: both sides must agree on where something is. */

/** address_hash: of 16 bytes at `at`. */
export function addressHash(view: DataView, at: number, seed: number): number {
  let h = seed;
  h = Math.imul(h ^ view.getUint32(at, true), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ view.getUint32(at + 4, true), 0x85ebca77);
  h = Math.imul(h ^ (h >>> 13) ^ view.getUint32(at + 8, true), 0xc2b2ae3d);
  h = Math.imul(h ^ (h >>> 16) ^ view.getUint32(at + 12, true), 0x27d4eb2f);
  return (h ^ (h >>> 15)) >>> 0;
}

/** prefix_slot */
export function prefixSlot(
  view: DataView,
  at: number,
  classFamily: number,
  length: number,
  slots: number,
): number {
  let h = addressHash(view, at, ((classFamily << 8) | length) + slots);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  h = (h ^ (h >>> 16)) >>> 0;
  // h * slots >> 32, of which 53 bits would not be enough.
  return Math.floor(((h >>> 16) * slots + Math.floor(((h & 0xffff) * slots) / 65536)) / 65536);
}
