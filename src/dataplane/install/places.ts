/**
 * Where each of a file's mappings is: in the tables, or over them, if it came or changed after they
 * were filled. A mapping's place follows from its counter, which is what the programs know of it.
 * Mappings in the tables keep the order that the file had then. Behind them are those over the
 * tables: first the file's in its order, then the run-time ones.
 */
import type { Above, Removed } from "../../compile/overlay.js";
import { type Mapping, mappingKey } from "../../model/mapping.js";
import { type Revision, isKept, removedBy } from "../../model/revision.js";
import type { Description, Overlaid, PlaceRun } from "../description.js";

/** The parts of a description that say where mappings are. */
export type Placed = Pick<Description, "layers" | "overlaid" | "rules">;

/** Beyond these limits, every command that asks for the active rules would slow down. */
const REMOVED_MAX = 1024;
const RUNS_MAX = 4096;

/** Returns the runs of the file's mappings, in their order. */
export function runsOfFile({ overlaid, rules }: Placed): readonly PlaceRun[] {
  return overlaid?.runs ?? [[0, rules.file.count]];
}

/** Returns the file's mappings that are over the tables, in their order. */
export function addedOf(placed: Placed): Mapping[] {
  const { layers, overlaid, rules } = placed;
  if (layers === null || overlaid === null) return [];
  const added: Mapping[] = [];
  let index = 0;
  for (const [place, count] of overlaid.runs) {
    if (place >= layers.mappings) {
      added.push(...rules.file.read().mappings.slice(index, index + count));
    }
    index += count;
  }
  return added;
}

export function addedCount({ layers, overlaid }: Placed): number {
  if (layers === null || overlaid === null) return 0;
  const above = overlaid.runs.filter(([place]) => place >= layers.mappings);
  return above.reduce((sum, [, count]) => sum + count, 0);
}

/** Returns the overlay's mappings, in its order. */
export function mappingsAbove(placed: Placed): Mapping[] {
  return [...addedOf(placed), ...placed.rules.runtime];
}

/** Returns the index, among all active mappings, of the one at this place. */
export function indexOfPlace(placed: Placed, place: number): number {
  const { layers, overlaid } = placed;
  if (layers === null || overlaid === null) return place;
  let index = 0;
  for (const [first, count] of overlaid.runs) {
    if (place >= first && place < first + count) return index + place - first;
    index += count;
  }
  return index + place - layers.mappings - addedCount(placed);
}

/** Returns the place of the mapping that has this index among all active ones. */
export function placeOfIndex(placed: Placed, index: number): number {
  const { layers, overlaid, rules } = placed;
  if (layers === null || overlaid === null) return index;
  const [run] = placesOf(placed, index, 1);
  return run?.[1] ?? layers.mappings + addedCount(placed) + index - rules.file.count;
}

/**
 * Works out how the file differs from the tables after a revision. Returns null when it differs by
 * too much or a name occurs twice. `hasName` tells about the tables.
 */
export function overlaidBy(
  placed: Placed,
  { pieces }: Revision,
  hasName: (key: string) => boolean,
): (Overlaid & { readonly added: readonly Mapping[]; readonly gone: readonly Mapping[] }) | null {
  const { layers, rules } = placed;
  if (layers === null) return null;
  const { mappings } = rules.file.read();
  const runs: PlaceRun[] = [];
  const added: Mapping[] = [];
  const place = (first: number, count: number): void => {
    const last = runs.at(-1);
    // Mappings over the tables are a run of their own, even where they follow the last of the
    // tables.
    const continues = last !== undefined && last[0] + last[1] === first;
    if (!continues || first === layers.mappings) runs.push([first, count]);
    else runs.splice(-1, 1, [last[0], last[1] + count]);
  };
  const put = (mapping: Mapping): void => {
    place(layers.mappings + added.length, 1);
    added.push(mapping);
  };
  for (const piece of pieces) {
    if (!isKept(piece)) {
      for (const mapping of piece) put(mapping);
      continue;
    }
    for (const [index, first, count] of placesOf(placed, piece.first, piece.count)) {
      if (first < layers.mappings) place(first, count);
      else for (const mapping of mappings.slice(index, index + count)) put(mapping);
    }
  }
  const removed = [...(placed.overlaid?.removed ?? [])];
  const gone: Mapping[] = [];
  for (const index of removedBy(pieces, mappings.length)) {
    if (gone.length > REMOVED_MAX) return null;
    const mapping = mappings.at(index);
    const [at] = placesOf(placed, index, 1);
    if (mapping === undefined || at === undefined) return null;
    gone.push(mapping);
    if (at[1] < layers.mappings) removed.push({ index: at[1], mapping });
  }
  if (removed.length > REMOVED_MAX || runs.length > RUNS_MAX) return null;
  const isStillThere = stillThere(removed, hasName);
  const keys = added.map(mappingKey);
  if (new Set(keys).size < keys.length || keys.some(isStillThere)) return null;
  return { runs, removed, added, gone };
}

/** Returns a test for names that mappings of the tables other than `removed` may have. */
function stillThere(
  removed: readonly Removed[],
  hasName: (key: string) => boolean,
): (key: string) => boolean {
  const free = new Set(removed.map(({ mapping }) => mappingKey(mapping)));
  return (key) => hasName(key) && !free.has(key);
}

/**
 * Splits some of the file's mappings into runs: the index of the first, its place, and their count.
 */
function placesOf(
  placed: Placed,
  first: number,
  count: number,
): (readonly [index: number, place: number, count: number])[] {
  const found: [number, number, number][] = [];
  const end = first + count;
  let index = 0;
  for (const [place, length] of runsOfFile(placed)) {
    const from = Math.max(first, index);
    const to = Math.min(end, index + length);
    if (from < to) found.push([from, place + from - index, to - from]);
    index += length;
  }
  return found;
}

/**
 * Reports whether a run-time mapping has, or may have, the name of one of the file's. `hasName`
 * tells about the tables.
 */
export function meetsFile(
  { removed, added }: Pick<Above, "removed" | "added">,
  runtime: readonly Mapping[],
  hasName: (key: string) => boolean,
): boolean {
  const isStillThere = stillThere(removed, hasName);
  const taken = new Set(added.map(mappingKey));
  return runtime.map(mappingKey).some((key) => taken.has(key) || isStillThere(key));
}
