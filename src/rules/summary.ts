/**
 * What a change did to the mappings, by their names: of a million, without a look at each as an
 * object.
 */
import type { Mapping } from "../model/mapping.js";
import type { RuleSet } from "../model/rules.js";
import { toColumns } from "../model/mapping-columns.js";
import { allMappings } from "../model/rules.js";
import { changedFields } from "./diff.js";

/** The first names of those that there are. */
export interface NamedMappings {
  readonly count: number;
  readonly names: readonly string[];
}

export interface ChangeSummary {
  readonly added: NamedMappings;
  readonly removed: NamedMappings;
  /** Not as they were. */
  readonly changed: NamedMappings;
}

/** Names that are told of each kind. */
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
 * `places`: of each mapping after the change, the index among those before; -1: it was not there.
 * Both with those of the file first.
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

/** Of mappings before which there was none. */
export function summaryOfNew(mappings: Listed): ChangeSummary {
  const all = allMappings(mappings);
  const names = all.slice(0, NAMED).map(({ name }) => name);
  const none: NamedMappings = { count: 0, names: [] };
  return { added: { count: all.length, names }, removed: none, changed: none };
}
