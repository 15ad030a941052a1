/** What mappings have counted: where it lies in the tables, summed over the CPUs, and taken from one generation to the next. */
import { countersLayout } from "../abi/generated.js";
import { decode } from "../abi/layout.js";
import type { BpfMap } from "../kernel/bpf.js";
import type { CounterList, Counters } from "../model/decision.js";
import { type LazyMappings, type Mappings, toLazy } from "../model/mappings.js";
import { NameTable, type Named } from "../model/name-table.js";
import type { CounterTable } from "./counters.js";
import type { Description } from "./description.js";
import { firstPlace, offsets } from "./tables.js";

/** Where a run of mappings has its counters: in `counters`, and in `carried`, what they had in earlier generations. */
export interface Run {
  readonly counters: number;
  readonly carried: number;
  readonly count: number;
}

/** Of the first of the file's mappings, and of the first that were added at run time. `counters`: the table. */
export function runsOf(
  counters: Pick<CounterTable, "maxEntries">,
  { layers, side, twoSided }: Pick<Description, "layers" | "side" | "twoSided">,
  { file, runtime }: { readonly file: number; readonly runtime: number },
): Run[] {
  if (layers === null) {
    const first = firstPlace(counters, { side, twoSided });
    return [{ counters: first, carried: 0, count: file + runtime }];
  }
  const first = offsets(layers, side).mappings;
  return [
    { counters: 0, carried: 0, count: file },
    { counters: first, carried: first, count: runtime },
  ];
}

/** Mappings, and what each has counted: as `countersLayout` has it, one after the other. */
export interface Counted {
  readonly mappings: Mappings;
  readonly sums: Uint8Array;
}

/** One after the other, as `countersLayout` has them. */
export function sumRuns(runs: readonly Run[], carried: BpfMap, counters: CounterTable): Uint8Array {
  const { size } = countersLayout;
  const sums = new Uint8Array(runs.reduce((sum, { count }) => sum + count, 0) * size);
  let start = 0;
  for (const run of runs) {
    for (const [before, values] of carried.arrayParts(run.count, run.carried)) {
      sums.set(values, (start + before) * size);
    }
    for (const [before, values, each] of counters.parts(run.counters, run.count)) {
      const at = (start + before) * size;
      addCounters(sums.subarray(at, at + values.length / each), values, each);
    }
    start += run.count;
  }
  return sums;
}

/** Of all of them together. */
export function totalOfRuns(
  runs: readonly Run[],
  carried: BpfMap,
  counters: CounterTable,
): Counters {
  const total = new Uint8Array(countersLayout.size);
  for (const run of runs) {
    for (const [, values] of carried.arrayParts(run.count, run.carried)) {
      addCounters(total, values, values.length / countersLayout.size);
    }
    for (const [, values] of counters.parts(run.counters, run.count)) {
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
