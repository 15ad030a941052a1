/** What a change did to the mappings, by name, without turning each of a million into an object. */
import { type Drained, formatDrained, sameDrained } from "../model/drained.js";
import type { Mapping, Protocol } from "../model/mapping.js";
import { type Rules, type RuleSet, allMappings } from "../model/rules.js";
import { toColumns } from "../model/mapping-columns.js";
import { toLazy } from "../model/mappings.js";
import { changedFields } from "./diff.js";
import { leadsTo } from "./drained.js";

/** The number of mappings of one kind, and the names of the first. */
export interface NamedMappings {
  readonly count: number;
  readonly names: readonly string[];
  /** The protocol of each that is named. */
  readonly protocols: readonly Protocol[];
}

/** A destination, and the mappings that lead there. */
export interface DrainedBy {
  /** As `ilm drain` takes it. */
  readonly destination: string;
  readonly mappings: NamedMappings;
}

export interface MappingSummary {
  readonly added: NamedMappings;
  readonly removed: NamedMappings;
  /** Mappings that are no longer as they were. */
  readonly changed: NamedMappings;
}

export interface ChangeSummary extends MappingSummary {
  /** What gets nobody new since the change. */
  readonly drained: readonly DrainedBy[];
  /** What gets new connections again. */
  readonly undrained: readonly DrainedBy[];
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
  readonly protocols: Protocol[] = [];

  add(find: () => Pick<Mapping, "name" | "protocol"> | undefined): void {
    this.count++;
    const one = this.names.length < NAMED ? find() : undefined;
    if (one === undefined) return;
    this.names.push(one.name);
    this.protocols.push(one.protocol);
  }
}

/**
 * Summarizes a change. `places` holds, for each mapping after the change, its index among those
 * before, or -1 when it is new. Both number the file's mappings first.
 */
export function summarize(before: Listed, after: Listed, places: Int32Array): MappingSummary {
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
    const one = (): Mapping | undefined => fresh.at(index);
    if (place < 0) {
      added.add(one);
      return;
    }
    stays[place] = 1;
    if (!isSame(index, place)) changed.add(one);
  });
  for (let place = stays.indexOf(0); place >= 0; place = stays.indexOf(0, place + 1)) {
    removed.add(() => old.at(place));
  }
  return { added, removed, changed };
}

const none: NamedMappings = { count: 0, names: [], protocols: [] };

/** What a change did that changed no mapping, but something else. */
export const noDifference: ChangeSummary = {
  added: none,
  removed: none,
  changed: none,
  drained: [],
  undrained: [],
};

/** Summarizes the first mappings, before which there were none. */
export function summaryOfNew(mappings: Listed): MappingSummary {
  return { added: namesOf(mappings), removed: none, changed: none };
}

/** Summarizes the end of all mappings. */
export function summaryOfUnload(mappings: Listed): ChangeSummary {
  return { ...noDifference, removed: namesOf(mappings) };
}

/**
 * Summarizes which destinations a change drains, and which no more. `rules` reads the rules after
 * it, and is asked only when there are any.
 */
export function summaryOfDrains(
  before: readonly Drained[],
  after: readonly Drained[],
  rules: () => Rules,
): Pick<ChangeSummary, "drained" | "undrained"> {
  const missing = (from: readonly Drained[], inside: readonly Drained[]): readonly Drained[] =>
    from.filter((one) => !inside.some((other) => sameDrained(one, other)));
  const [drained, undrained] = [missing(after, before), missing(before, after)];
  if (drained.length + undrained.length === 0) return { drained: [], undrained: [] };
  const read = rules();
  const withMappings = (one: Drained): DrainedBy => ({
    destination: formatDrained(one),
    mappings: namesLeadingTo(one, read),
  });
  return { drained: drained.map(withMappings), undrained: undrained.map(withMappings) };
}

function namesLeadingTo(one: Drained, rules: Rules): NamedMappings {
  const lists = toLazy(allMappings(rules));
  const leads = leadsTo(one, rules.file.services);
  const found = new Names();
  for (let index = 0; index < lists.length; index++) {
    const protocol = lists.protocolAt(index);
    if (!leads(protocol, lists.portsAt(index), lists.toAt(index))) continue;
    found.add(() => ({ name: lists.nameAt(index), protocol }));
  }
  const { count, names, protocols } = found;
  return { count, names, protocols };
}

/** Returns the inverse of a change. */
export function inverseOf({
  added,
  removed,
  changed,
  drained,
  undrained,
}: ChangeSummary): ChangeSummary {
  return { added: removed, removed: added, changed, drained: undrained, undrained: drained };
}

function namesOf(mappings: Listed): NamedMappings {
  const all = allMappings(mappings);
  const first = all.slice(0, NAMED);
  const names = first.map(({ name }) => name);
  return { count: all.length, names, protocols: first.map(({ protocol }) => protocol) };
}
