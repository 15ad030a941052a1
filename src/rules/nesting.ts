/** Nested prefixes: finds the next larger one of a set around another. */
import { familyOf, prefixBits, prefixLength, type Family, type Prefix } from "../model/address.js";

export class Nesting {
  readonly #byBits = new Map<string, Prefix>();
  /** The lengths that occur, longest first. */
  readonly #lengths: Record<Family, number[]> = { 4: [], 6: [] };

  constructor(prefixes: Iterable<Prefix>) {
    const lengths: Record<Family, Set<number>> = { 4: new Set(), 6: new Set() };
    for (const prefix of prefixes) {
      const family = familyOf(prefix);
      const length = prefixLength(prefix);
      lengths[family].add(length);
      this.#byBits.set(keyOf(family, prefixBits(prefix).bytes, length), prefix);
    }
    for (const family of [4, 6] as const) {
      this.#lengths[family] = [...lengths[family]].sort((a, b) => b - a);
    }
  }

  /**
   * Returns the longest prefix of the set around this one, which need not be in the set, or
   * undefined when there is none.
   */
  around(prefix: Prefix): Prefix | undefined {
    const family = familyOf(prefix);
    const own = prefixLength(prefix);
    const { bytes } = prefixBits(prefix);
    for (const length of this.#lengths[family]) {
      if (length >= own) continue;
      const found = this.#byBits.get(keyOf(family, bytes, length));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/**
 * Returns the first `length` bits of the address as text. Two addresses share it exactly when they
 * share those bits.
 */
function keyOf(family: Family, bytes: Uint8Array, length: number): string {
  const bits = family === 4 ? length + 96 : length;
  const whole = bits >> 3;
  let key = `${family} ${length} `;
  for (let i = family === 4 ? 12 : 0; i < whole; i++) key += String.fromCharCode(bytes[i] ?? 0);
  const rest = bits & 7;
  if (rest > 0) key += String.fromCharCode((bytes[whole] ?? 0) & (0xff << (8 - rest)));
  return key;
}
