/**
 * What mappings have counted: where it lies in the tables, how it is summed over CPUs, and how it
 * moves from one generation to the next.
 */
import { countersLayout } from "../../abi/generated.js";
import { decode } from "../../abi/layout.js";
import type { BpfMap } from "../../kernel/bpf/map.js";
import type { CounterList, Counters } from "../../model/decision.js";
import { type LazyMappings, type Mappings, toLazy } from "../../model/mappings.js";
import { NameTable, type Named } from "../../model/name-table.js";
import type { Removed } from "../../compile/overlay.js";
import type { CounterTable } from "../install/counters.js";
import type { Description, Layers } from "../description.js";
import { type Placed, addedCount, runsOfFile } from "../install/places.js";
import { type Side } from "../install/sides.js";
import { firstPlace, offsets } from "../install/tables.js";

/**
 * Where a run of mappings has its counters: in `counters`, and in `carried`, which holds what they
 * counted in earlier generations.
 */
export interface Run {
  readonly counters: number;
  readonly carried: number;
  readonly count: number;
}

/** The parts of a description that say where counters lie. */
export type Counting = Placed & Pick<Description, "side" | "twoSided">;

/** Returns the runs of all active mappings, in their order. `counters` is the table. */
export function runsOf(counters: Pick<CounterTable, "maxEntries">, description: Counting): Run[] {
  const { layers, rules } = description;
  const ofFile = runsOfFile(description);
  const runtime = rules.runtime.length;
  if (layers === null) {
    const count = ofFile.reduce((sum, [, some]) => sum + some, runtime);
    return [{ counters: firstPlace(counters, description), carried: 0, count }];
  }
  const places = [...ofFile, [layers.mappings + addedCount(description), runtime] as const];
  return places.map(([place, count]) => runAt(layers, description.side, place, count));
}

/** Returns the runs of the overlay's mappings, in its order, and then of `ofTables`. */
export function runsAbove(description: Counting, ofTables: readonly Removed[]): Run[] {
  const { layers, side, rules } = description;
  if (layers === null) return [];
  const count = addedCount(description) + rules.runtime.length;
  return [
    runAt(layers, side, layers.mappings, count),
    ...ofTables.map(({ index }) => runAt(layers, side, index, 1)),
  ];
}

function runAt(layers: Layers, side: Side, place: number, count: number): Run {
  const at =
    place < layers.mappings ? place : offsets(layers, side).mappings + place - layers.mappings;
  return { counters: at, carried: at, count };
}

type CarriedMap = Pick<BpfMap, "readParts">;

/** Sums the counters of the runs' mappings: consecutive records in `countersLayout`. */
export function sumRuns(
  runs: readonly Run[],
  carried: CarriedMap,
  counters: CounterTable,
): Uint8Array {
  const { size } = countersLayout;
  const sums = new Uint8Array(runs.reduce((sum, { count }) => sum + count, 0) * size);
  let start = 0;
  for (const run of runs) {
    const own = sums.subarray(start * size, (start + run.count) * size);
    carried.readParts(run.count, run.carried, (before, values) => {
      own.set(values, before * size);
    });
    counters.readParts(run.count, run.counters, (before, values, each) => {
      const at = before * size;
      addCounters(own.subarray(at, at + values.length / each), values, each);
    });
    start += run.count;
  }
  return sums;
}

/** Beyond this many indexes, looking each one up takes longer than reading a million counters. */
export const LOOKED_UP = 1000;

/**
 * Sums the counters of the mappings with these indexes, in the format of `sumRuns`. An index that
 * no longer exists counts 0, as others may change the rules meanwhile.
 */
export function sumsAt(
  indexes: readonly number[],
  runs: readonly Run[],
  carried: CarriedMap,
  counters: CounterTable,
): Uint8Array {
  const { size } = countersLayout;
  const sums = new Uint8Array(indexes.length * size);
  if (indexes.length > LOOKED_UP) {
    moveCounters(sumRuns(runs, carried, counters), Int32Array.from(indexes), sums);
    return sums;
  }
  indexes.forEach((index, i) => {
    const run = runOf(runs, index);
    if (run !== undefined) sums.set(sumRuns([run], carried, counters), i * size);
  });
  return sums;
}

/** Returns the run of one mapping alone. */
export function runOf(runs: readonly Run[], index: number): Run | undefined {
  let before = 0;
  for (const { counters, carried, count } of runs) {
    const place = index - before;
    if (place < count) return { counters: counters + place, carried: carried + place, count: 1 };
    before += count;
  }
  return undefined;
}

/** Sums the counters of all the runs' mappings into one. */
export function totalOfRuns(
  runs: readonly Run[],
  carried: CarriedMap,
  counters: CounterTable,
): Counters {
  const total = new Uint8Array(countersLayout.size);
  const add = (_: number, values: Uint8Array): void => {
    addCounters(total, values, values.length / countersLayout.size);
  };
  for (const run of runs) {
    carried.readParts(run.count, run.carried, add);
    counters.readParts(run.count, run.counters, add);
  }
  return toCounters(total, 0);
}

/** Bytes compared at once: mostly all are 0, which the C library sees immediately. */
const BLOCK = 4096;
const zeros = new Uint8Array(BLOCK);

/**
 * Adds each `each` consecutive records of `own` to one record of `sums`, both in `countersLayout`.
 * `own` may change meanwhile; counters only grow.
 */
export function addCounters(sums: Uint8Array, own: Uint8Array, each: number): void {
  const { size } = countersLayout;
  const block = new Uint32Array(BLOCK / 4);
  const bytes = new Uint8Array(block.buffer);
  const totals = new Uint32Array(sums.buffer, sums.byteOffset, sums.byteLength / 4);
  for (let start = 0; start < own.length; start += BLOCK) {
    const part = own.subarray(start, start + BLOCK);
    if (
      Buffer.compare(part, part.length === BLOCK ? zeros : zeros.subarray(0, part.length)) === 0
    ) {
      continue;
    }
    // The halves of a number are read one after the other, so read a copy, which was made in whole
    // numbers.
    bytes.set(part);
    for (let at = 0; at < part.length; at += size) {
      const place = Math.floor((start + at) / (size * each)) * (size / 4);
      addOne(totals, place, block, at / 4);
    }
  }
}

/** Adds numbers of 64 bits as halves: a million BigInts take a second. */
function addOne(totals: Uint32Array, place: number, own: Uint32Array, at: number): void {
  for (let i = 0; i < countersLayout.size / 4; i += 2) {
    const [low = 0, high = 0] = [own[at + i], own[at + i + 1]];
    if ((low | high) === 0) continue;
    const sum = (totals[place + i] ?? 0) + low;
    totals[place + i] = sum;
    totals[place + i + 1] = (totals[place + i + 1] ?? 0) + high + (sum > 0xffffffff ? 1 : 0);
  }
}

/** A list of counters over the bytes that `sumRuns` returns. */
export class SummedCounters implements CounterList {
  readonly #sums: Uint8Array;

  constructor(sums: Uint8Array) {
    this.#sums = sums;
  }

  get length(): number {
    return this.#sums.length / countersLayout.size;
  }

  at(index: number): Counters | undefined {
    if (index < 0 || index >= this.length) return undefined;
    return toCounters(this.#sums, index * countersLayout.size);
  }

  total(): Counters {
    const total = new Uint8Array(countersLayout.size);
    addCounters(total, this.#sums, this.length);
    return toCounters(total, 0);
  }
}

/** Returns a function that says how many of a mapping's lookups selected a destination. */
export function selectedIn(sums: Uint8Array): (index: number) => number {
  const words = new Uint32Array(sums.buffer, sums.byteOffset, sums.byteLength / 4);
  // Of struct ilm_counters, the second number.
  const at = (index: number): number => index * (countersLayout.size / 4) + 2;
  return (index) => (words[at(index)] ?? 0) + (words[at(index) + 1] ?? 0) * 2 ** 32;
}

function toCounters(sums: Uint8Array, at: number): Counters {
  const { existing, selected, missed, errors } = decode(countersLayout, sums, at);
  return {
    existing: Number(existing),
    selected: Number(selected),
    missed: Number(missed),
    errors: Number(errors),
  };
}

/** Returns where each mapping was before, or -1 if nowhere. Most stay where they are. */
export function placesBefore(before: Mappings, after: Mappings): Int32Array {
  const [old, fresh] = [toLazy(before), toLazy(after)];
  const named = (lists: LazyMappings, index: number): Named => ({
    name: lists.nameAt(index),
    protocol: lists.protocolAt(index),
  });
  const places = new Int32Array(fresh.length);
  const same = fresh.sameNamesAs(old);
  for (let index = 0; index < same; index++) places[index] = index;
  let table: NameTable | undefined;
  for (let index = same; index < places.length; index++) {
    const mapping = named(fresh, index);
    const there = index < old.length ? named(old, index) : undefined;
    if (there?.name === mapping.name && there.protocol === mapping.protocol) {
      places[index] = index;
      continue;
    }
    if (table === undefined) {
      table = new NameTable((place) => named(old, place), old.length);
      for (let place = 0; place < old.length; place++) table.put(named(old, place), place);
    }
    places[index] = table.find(mapping) ?? -1;
  }
  return places;
}

/**
 * Moves counters in the format of `sumRuns` into others: each from its previous place, or 0 where
 * that is -1. Mappings that were and still are neighbours are copied together.
 */
export function moveCounters(sums: Uint8Array, places: Int32Array, into: Uint8Array): void {
  const { size } = countersLayout;
  let end = 0;
  for (let start = 0; start < places.length; start = end) {
    const place = places[start] ?? -1;
    const step = place < 0 ? 0 : 1;
    end = start + 1;
    while (end < places.length && places[end] === place + step * (end - start)) end++;
    if (place < 0) into.fill(0, start * size, end * size);
    else into.set(sums.subarray(place * size, (place + end - start) * size), start * size);
  }
}
