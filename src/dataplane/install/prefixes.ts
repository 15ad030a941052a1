/**
 * `prefixes` (bpf/tables.h): a hash table in a part of an array. The array is filled in one go, so
 * the layout is worked out here.
 */
import { ILM_PREFIX_SLOTS, prefixLayout } from "../../abi/generated.js";
import { decode, encode } from "../../abi/layout.js";
import type { MarkerTable } from "../../compile/lengths.js";
import type { PrefixBits, PrefixTable } from "../../compile/tables.js";
import type { BpfMap, PutValues } from "../../kernel/bpf/map.js";
import { tellShare } from "../../progress.js";
import { u32 } from "./batches.js";
import { PrefixHash, prefixSlot } from "./hash.js";
import type { Targets } from "./targets.js";

/**
 * Slots in the hash's range per entry: most entries are where their hash says, and failing searches
 * end soon.
 */
const SLOTS_EACH = 2;

/** Combines class and family into the number that the program compares; 0 is none. */
export function classFamily(owner: number, ipv6: boolean): number {
  return owner * 2 + (ipv6 ? 1 : 0);
}

/** Returns how many of `size` slots are in the hash's range. */
export function slotsOf(size: number): number {
  return size - (ILM_PREFIX_SLOTS - 1);
}

/** Turns the mappings' own entries into the form of markers. */
export function ofMappings(table: PrefixTable): MarkerTable {
  return { ...table, around: table.length };
}

/** Entries in their slots. */
export class PrefixSlots {
  /** No two entries have the same class, family, address and length. */
  readonly #tables: readonly MarkerTable[];
  readonly #count: number;
  /** The slot of each entry, in the order of the tables. */
  readonly #slots: Uint32Array;
  readonly #firstOwner: number;
  /** The number of slots of the table. */
  readonly size: number;

  /** `firstOwner` is added to the numbers of all classes. */
  constructor(tables: readonly MarkerTable[], firstOwner = 0) {
    this.#tables = tables;
    this.#firstOwner = firstOwner;
    this.#count = tables.reduce((sum, { count }) => sum + count, 0);
    this.#slots = new Uint32Array(this.#count);
    let slots = Math.max(1, SLOTS_EACH * this.#count);
    // A different number of slots makes a different hash.
    while (!this.#place(slots)) slots += Math.ceil(slots / 16);
    this.size = slots + ILM_PREFIX_SLOTS - 1;
  }

  /**
   * Puts each entry into the first free slot from its own on, in the order of their own slots.
   * Returns false when one would be too far from its own.
   */
  #place(slots: number): boolean {
    const own = new Uint32Array(this.#count);
    const starts = new Uint32Array(slots + 1);
    const hash = new PrefixHash(slots);
    let number = 0;
    for (const { count, owner, ipv6, address, length } of this.#tables) {
      const view = new DataView(address.buffer, address.byteOffset);
      for (let i = 0; i < count; i++) {
        const whose = classFamily(this.#firstOwner + (owner[i] ?? 0), ipv6[i] === 1);
        const slot = hash.slot(view, i * 16, whose, length[i] ?? 0);
        own[number++] = slot;
        starts[slot] = (starts[slot] ?? 0) + 1;
      }
    }
    // Turn the number of entries that have a slot as their own into where the first of them goes.
    let free = 0;
    for (let slot = 0; slot < slots; slot++) {
      const count = starts[slot] ?? 0;
      const first = Math.max(free, slot);
      starts[slot] = first;
      if (count === 0) continue;
      free = first + count;
      if (free - slot > ILM_PREFIX_SLOTS) return false;
    }
    for (let entry = 0; entry < own.length; entry++) {
      const slot = own[entry] ?? 0;
      const place = starts[slot] ?? 0;
      this.#slots[entry] = place;
      starts[slot] = place + 1;
    }
    return true;
  }

  /**
   * Writes the table from the place `first` on. `used`: the slots may hold something, so those
   * between the entries are emptied.
   */
  put(map: Pick<BpfMap, "writeArray">, first: number, targets: Targets, used: boolean): void {
    const put: PutValues = (values, stride) => {
      if (used) new Uint8Array(values.buffer, values.byteOffset, values.byteLength).fill(0);
      // Go through the tables in order, as there is more to read than to write of each entry.
      let number = 0;
      for (const table of this.#tables) {
        for (let i = 0; i < table.count; i++) {
          if (number % TOLD_EACH === 0) tellShare(number, this.#count);
          this.#putEntry(values, (this.#slots[number++] ?? 0) * stride, table, i, targets);
        }
      }
    };
    map.writeArray(this.size, put, first);
  }

  #putEntry(values: DataView, at: number, table: MarkerTable, i: number, targets: Targets): void {
    // Share one array: a view for each of a million entries takes as long as everything else.
    for (let byte = 0; byte < 16; byte++) oneAddress[byte] = table.address[i * 16 + byte] ?? 0;
    const target = table.target[i] ?? 0;
    prefixLayout.write(values, at, {
      classFamily: classFamily(this.#firstOwner + (table.owner[i] ?? 0), table.ipv6[i] === 1),
      length: table.length[i] ?? 0,
      around: table.around[i] ?? 0,
      address: oneAddress,
      target: targets.value(target),
      counter: targets.counter(target),
    });
  }
}

const TOLD_EACH = 16_384;
const oneAddress = new Uint8Array(16);

/** What an entry leads to. */
export interface Found {
  /** A rule or a step; 0 is nothing. */
  readonly target: number;
  readonly counter: number;
}

const nothing: Found = { target: 0, counter: 0 };

/** Finds the entry of exactly this prefix, not of one around it. */
export function findPrefix(
  map: Pick<BpfMap, "lookup" | "maxEntries">,
  owner: number,
  prefix: PrefixBits,
): Found {
  const { address, length } = prefix;
  const whose = classFamily(owner, prefix.ipv6);
  const view = new DataView(address.buffer, address.byteOffset);
  const first = prefixSlot(view, 0, whose, length, slotsOf(map.maxEntries));
  for (let slot = first; slot < first + ILM_PREFIX_SLOTS; slot++) {
    const value = map.lookup(encode(u32, slot));
    if (value === undefined) return nothing;
    const found = decode(prefixLayout, value);
    if (found.classFamily === 0) return nothing;
    const same = found.classFamily === whose && found.length === length;
    if (!same || Buffer.compare(found.address, address) !== 0) continue;
    // Otherwise it is a marker.
    return found.around === length ? found : nothing;
  }
  return nothing;
}
