/** What a change did to the mappings, by name, without turning each of a million into an object. */
import type { Mapping } from "../model/mapping.js";
import { type RuleSet, allMappings } from "../model/rules.js";
import { toColumns } from "../model/mapping-columns.js";
import { changedFields } from "./diff.js";

/** The number of mappings of one kind, and the names of the first. */
export interface NamedMappings {
  readonly count: number;
  readonly names: readonly string[];
}

export interface ChangeSummary {
  readonly added: NamedMappings;
  readonly removed: NamedMappings;
  /** Mappings that are no longer as they were. */
  readonly changed: NamedMappings;
}

/** How many names of each kind are kept. */
export const NAMED = 100;

export interface Listed {
  readonly file: Pick<RuleSet, "mappings">;
  readonly runtime: readonly Mapping[];
}

class Names {
  count = 0;
  readonly names: string[] = [];

  add(nameOf: () => string): void {
    this.count++;
    if (this.names.length < NAMED) this.names.push(nameOf());
  }
}

/**
 * Summarizes a change. `places` holds, for each mapping after the change, its index among those
 * before, or -1 when it is new. Both number the file's mappings first.
 */
export function summarize(before: Listed, after: Listed, places: Int32Array): ChangeSummary {
  const [old, fresh] = [allMappings(before), allMappings(after)];
  const [added, removed, changed] = [new Names(), new Names(), new Names()];
  const isSameOfFile = toColumns(after.file.mappings).comparer(toColumns(before.file.mappings));
  const [ofFile, ofOldFile] = [after.file.mappings.length, before.file.mappings.length];
  const isSame = (index: number, place: number): boolean => {
    if (index < ofFile && place < ofOldFile) return isSameOfFile(index, place);
    const [now, then] = [fresh.at(index), old.at(place)];
    return now !== undefined && then !== undefined && changedFields(then, now).length === 0;
  };
  const stays = new Uint8Array(old.length);
  places.forEach((place, index) => {
    const name = (): string => fresh.at(index)?.name ?? "";
    if (place < 0) {
      added.add(name);
      return;
    }
    stays[place] = 1;
    if (!isSame(index, place)) changed.add(name);
  });
  for (let place = stays.indexOf(0); place >= 0; place = stays.indexOf(0, place + 1)) {
    removed.add(() => old.at(place)?.name ?? "");
  }
  return { added, removed, changed };
}

const none: NamedMappings = { count: 0, names: [] };

/** Summarizes the first mappings, before which there were none. */
export function summaryOfNew(mappings: Listed): ChangeSummary {
  return { added: namesOf(mappings), removed: none, changed: none };
}

/** Summarizes the end of all mappings. */
export function summaryOfUnload(mappings: Listed): ChangeSummary {
  return { added: none, removed: namesOf(mappings), changed: none };
}

function namesOf(mappings: Listed): NamedMappings {
  const all = allMappings(mappings);
  return { count: all.length, names: all.slice(0, NAMED).map(({ name }) => name) };
}
