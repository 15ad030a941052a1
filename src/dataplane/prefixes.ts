/** `prefixes` (bpf/tables.h): a hash table in a part of an array that is filled at once, so what is where is worked out here. */
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

/** Of `size` slots, those that a hash gives. */
export function slotsOf(size: number): number {
  return size - (ILM_PREFIX_SLOTS - 1);
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
  readonly #firstOwner: number;
  /** Slots of the table. */
  readonly size: number;

  /** `firstOwner`: added to the numbers of all classes. */
  constructor(tables: readonly MarkerTable[], firstOwner = 0) {
    this.#tables = tables;
    this.#firstOwner = firstOwner;
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
        const whose = classFamily(this.#firstOwner + (owner[i] ?? 0), ipv6[i] === 1);
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

  /** `used`: something may be there, so that the slots between the entries are to be emptied. */
  put(map: Pick<BpfMap, "updateAll">, place: PrefixesPlace, used: boolean): void {
    const { prefixes: first } = place;
    const entry = (i: number): Prefix => this.#entry(this.#order[i] ?? 0, place);
    if (!used) {
      putEntries(
        map,
        this.#count,
        [u32, (i) => first + (this.#slots[i] ?? 0)],
        [prefixLayout, entry],
      );
      return;
    }
    let next = 0;
    putEntries(
      map,
      this.size,
      [u32, (i) => first + i],
      [prefixLayout, (i) => (this.#slots[next] === i ? entry(next++) : empty)],
    );
  }

  #entry(number: number, place: PrefixesPlace): Prefix {
    let i = number;
    for (const table of this.#tables) {
      if (i < table.count) return this.#entryAt(table, i, place);
      i -= table.count;
    }
    throw new RangeError(`there is no entry ${number}`);
  }

  #entryAt(table: MarkerTable, i: number, place: PrefixesPlace): Prefix {
    return {
      classFamily: classFamily(this.#firstOwner + (table.owner[i] ?? 0), table.ipv6[i] === 1),
      length: table.length[i] ?? 0,
      address: table.address.subarray(i * 16, i * 16 + 16),
      target: targetValue(table.target[i] ?? 0, place),
      around: table.around[i] ?? 0,
    };
  }
}

/** Where the table begins, and the rules and steps that it leads to. */
export interface PrefixesPlace {
  readonly prefixes: number;
  readonly rules: number;
  readonly steps: number;
}

const empty: Prefix = {
  classFamily: 0,
  length: 0,
  address: new Uint8Array(16),
  target: 0,
  around: 0,
};

/** The target of the very prefix, not of one around it; 0: no mapping has it. */
export function findPrefix(
  map: Pick<BpfMap, "lookup" | "maxEntries">,
  owner: number,
  prefix: PrefixBits,
): number {
  const { address, length } = prefix;
  const whose = classFamily(owner, prefix.ipv6);
  const view = new DataView(address.buffer, address.byteOffset);
  const first = prefixSlot(view, 0, whose, length, slotsOf(map.maxEntries));
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
