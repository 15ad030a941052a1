/** What mappings have counted: where it lies in the tables, summed over the CPUs, and taken from one generation to the next. */
import { countersLayout } from "../abi/generated.js";
import { decode } from "../abi/layout.js";
import { type BpfMap, cpus } from "../kernel/bpf.js";
import type { CounterList, Counters } from "../model/decision.js";
import { type LazyMappings, type Mappings, toLazy } from "../model/mappings.js";
import { NameTable, type Named } from "../model/name-table.js";
import type { Removed } from "../compile/overlay.js";
import type { Description, Layers } from "./description.js";
import { type Placed, addedCount, runsOfFile } from "./places.js";
import { type Side, firstPlace, offsets } from "./tables.js";

/** Where a run of mappings has its counters: in `counters`, of each CPU, and in `carried`, what they had in earlier generations. */
export interface Run {
  readonly counters: number;
  readonly carried: number;
  readonly count: number;
}

/** What is asked here of a generation. */
export type Counting = Placed & Pick<Description, "side" | "twoSided">;

/** Of all mappings in force, in their order. `counters`: the table. */
export function runsOf(counters: Pick<BpfMap, "maxEntries">, description: Counting): Run[] {
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

/** Of the mappings of the overlay, as it has them, and then of these of the tables. */
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

/** Mappings, and what each has counted: as `countersLayout` has it, one after the other. */
export interface Counted {
  readonly mappings: Mappings;
  readonly sums: Uint8Array;
}

/** One after the other, as `countersLayout` has them. */
export function sumRuns(runs: readonly Run[], carried: BpfMap, counters: BpfMap): Uint8Array {
  const { size } = countersLayout;
  const sums = new Uint8Array(runs.reduce((sum, { count }) => sum + count, 0) * size);
  let start = 0;
  for (const run of runs) {
    for (const [before, values] of carried.arrayParts(run.count, run.carried)) {
      sums.set(values, (start + before) * size);
    }
    for (const [before, values] of counters.arrayParts(run.count, run.counters)) {
      const at = (start + before) * size;
      addCounters(sums.subarray(at, at + values.length / cpus()), values, cpus());
    }
    start += run.count;
  }
  return sums;
}

/** Of all of them together. */
export function totalOfRuns(runs: readonly Run[], carried: BpfMap, counters: BpfMap): Counters {
  const total = new Uint8Array(countersLayout.size);
  for (const run of runs) {
    for (const [, values] of carried.arrayParts(run.count, run.carried)) {
      addCounters(total, values, values.length / countersLayout.size);
    }
    for (const [, values] of counters.arrayParts(run.count, run.counters)) {
      addCounters(total, values, values.length / countersLayout.size);
    }
  }
  return toCounters(total, 0);
}

/** Adds up `each` of `own` to one of `sums`. Both as `countersLayout` has them, which is numbers of 64 bits; most are 0. */
function addCounters(sums: Uint8Array, own: Uint8Array, each: number): void {
  const fields = countersLayout.size / 8;
  const totals = new BigUint64Array(sums.buffer, sums.byteOffset, sums.byteLength / 8);
  const counted = new BigUint64Array(own.buffer, own.byteOffset, own.byteLength / 8);
  const halves = new Uint32Array(own.buffer, own.byteOffset, own.byteLength / 4);
  for (let i = 0; i < counted.length; i++) {
    if (halves[2 * i] === 0 && halves[2 * i + 1] === 0) continue;
    const place = Math.floor(i / (fields * each)) * fields + (i % fields);
    totals[place] = (totals[place] ?? 0n) + (counted[i] ?? 0n);
  }
}

/** As `sumRuns` gives them. */
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

function toCounters(sums: Uint8Array, at: number): Counters {
  const { existing, selected, missed, errors } = decode(countersLayout, sums, at);
  return {
    existing: Number(existing),
    selected: Number(selected),
    missed: Number(missed),
    errors: Number(errors),
  };
}

/** Where each mapping was before; -1: nowhere. Most stay where they are. */
export function placesBefore(before: Mappings, after: Mappings): Int32Array {
  const [old, fresh] = [toLazy(before), toLazy(after)];
  const named = (lists: LazyMappings, index: number): Named => ({
    name: lists.nameAt(index),
    protocol: lists.protocolAt(index),
  });
  const places = new Int32Array(fresh.length);
  let table: NameTable | undefined;
  for (let index = 0; index < places.length; index++) {
    const mapping = named(fresh, index);
    const same = index < old.length ? named(old, index) : undefined;
    if (same?.name === mapping.name && same.protocol === mapping.protocol) {
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
