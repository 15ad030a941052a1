/** `prefixes` (bpf/tables.h): a hash table in an array that is filled once, so what is where is worked out here. */
import { ILM_PREFIX_SLOTS, type Prefix, prefixLayout } from "../abi/generated.js";
import { decode, encode } from "../abi/layout.js";
import type { MarkerTable } from "../compile/lengths.js";
import type { PrefixBits, PrefixTable } from "../compile/tables.js";
import type { BpfMap } from "../kernel/bpf.js";
import { putEntries, targetValue, u32 } from "./entries.js";
import { prefixSlot } from "./hash.js";

/** Slots that a hash gives, for each entry: most entries are where their hash says, and searches in vain end soon. */
const SLOTS_EACH = 2;

/** A class and family as the program compares them; 0 is none. */
export function classFamily(owner: number, ipv6: boolean): number {
  return owner * 2 + (ipv6 ? 1 : 0);
}

/** Of the slots of the map, those that a hash gives. */
export function slotsOf(map: Pick<BpfMap, "maxEntries">): number {
  return map.maxEntries - (ILM_PREFIX_SLOTS - 1);
}

/** What mappings have themselves, in the form of markers. */
export function ofMappings(table: PrefixTable): MarkerTable {
  return { ...table, around: table.length };
}

/** Entries in their slots. */
export class PrefixSlots {
  /** No two entries are of the same class, family, address and length. */
  readonly #tables: readonly MarkerTable[];
  readonly #count: number;
  /** Numbers of the entries by slot, as they follow upon each other in the tables. */
  readonly #order: Uint32Array;
  readonly #slots: Uint32Array;
  /** Of the map. */
  readonly size: number;

  constructor(tables: readonly MarkerTable[]) {
    this.#tables = tables;
    this.#count = tables.reduce((sum, { count }) => sum + count, 0);
    this.#order = new Uint32Array(this.#count);
    this.#slots = new Uint32Array(this.#count);
    let slots = Math.max(1, SLOTS_EACH * this.#count);
    // Another number is another hash.
    while (!this.#place(slots)) slots += Math.ceil(slots / 16);
    this.size = slots + ILM_PREFIX_SLOTS - 1;
  }

  /** Each entry in the first free slot from its own on, those with the lowest first. False: one is too far from its own. */
  #place(slots: number): boolean {
    const own = new Uint32Array(this.#count);
    const starts = new Uint32Array(slots + 1);
    let number = 0;
    for (const { count, owner, ipv6, address, length } of this.#tables) {
      const view = new DataView(address.buffer, address.byteOffset);
      for (let i = 0; i < count; i++) {
        const whose = classFamily(owner[i] ?? 0, ipv6[i] === 1);
        const slot = prefixSlot(view, i * 16, whose, length[i] ?? 0, slots);
        own[number++] = slot;
        starts[slot + 1] = (starts[slot + 1] ?? 0) + 1;
      }
    }
    for (let slot = 1; slot <= slots; slot++) {
      starts[slot] = (starts[slot] ?? 0) + (starts[slot - 1] ?? 0);
    }
    for (const [entry, slot] of own.entries()) {
      const place = starts[slot] ?? 0;
      this.#order[place] = entry;
      starts[slot] = place + 1;
    }
    let free = 0;
    for (const [place, entry] of this.#order.entries()) {
      const first = own[entry] ?? 0;
      const slot = Math.max(free, first);
      if (slot - first >= ILM_PREFIX_SLOTS) return false;
      this.#slots[place] = slot;
      free = slot + 1;
    }
    return true;
  }

  put(map: Pick<BpfMap, "updateAll">): void {
    putEntries(
      map,
      this.#count,
      [u32, (i) => this.#slots[i] ?? 0],
      [prefixLayout, (i) => this.#entry(this.#order[i] ?? 0)],
    );
  }

  #entry(number: number): Prefix {
    let i = number;
    for (const table of this.#tables) {
      if (i < table.count) return entryAt(table, i);
      i -= table.count;
    }
    throw new RangeError(`there is no entry ${number}`);
  }
}

function entryAt(table: MarkerTable, i: number): Prefix {
  return {
    classFamily: classFamily(table.owner[i] ?? 0, table.ipv6[i] === 1),
    length: table.length[i] ?? 0,
    address: table.address.subarray(i * 16, i * 16 + 16),
    target: targetValue(table.target[i] ?? 0),
    around: table.around[i] ?? 0,
  };
}

/** The target of the very prefix, not of one around it; 0: no mapping has it. */
export function findPrefix(
  map: Pick<BpfMap, "lookup" | "maxEntries">,
  owner: number,
  prefix: PrefixBits,
): number {
  const { address, length } = prefix;
  const whose = classFamily(owner, prefix.ipv6);
  const view = new DataView(address.buffer, address.byteOffset);
  const first = prefixSlot(view, 0, whose, length, slotsOf(map));
  for (let slot = first; slot < first + ILM_PREFIX_SLOTS; slot++) {
    const value = map.lookup(encode(u32, slot));
    if (value === undefined) return 0;
    const found = decode(prefixLayout, value);
    if (found.classFamily === 0) return 0;
    const same = found.classFamily === whose && found.length === length;
    if (!same || Buffer.compare(found.address, address) !== 0) continue;
    // Otherwise a marker.
    return found.around === length ? found.target : 0;
  }
  return 0;
}
