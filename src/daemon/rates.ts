/**
 * How often mappings were used in a second, from two readings of their counters. Counters go on
 * from one generation of rules to the next; where that cannot be told, there is no rate.
 */
import type { Active, DataPlane } from "../dataplane/types.js";
import { IlmError } from "../errors.js";
import type { Counters, MappingCounters } from "../model/decision.js";
import { type Destination, mappingKey } from "../model/mapping.js";
import { type Mappings, toLazy } from "../model/mappings.js";

/** How far apart the readings are, in seconds, unless the user says. */
export const RATE_SECONDS = 1;
const RATE_SECONDS_MIN = 0.1;
const RATE_SECONDS_MAX = 60;

/**
 * With more mappings than this, a reading has their sums only, as numbers: it is kept for as long
 * as it takes until the second one.
 */
export const TOLD_APART_MAX = 10_000;

/** Parses how far apart the readings are. Throws USAGE. */
export function parseRateSeconds(text: string, option: string): number {
  const seconds = /^[0-9]{1,3}(?:\.[0-9]{1,3})?$/.test(text) ? Number(text) : NaN;
  if (seconds >= RATE_SECONDS_MIN && seconds <= RATE_SECONDS_MAX) return seconds;
  throw new IlmError(
    "USAGE",
    `${option}: ${JSON.stringify(text)} is not a number of seconds from ${RATE_SECONDS_MIN} to ${RATE_SECONDS_MAX}`,
    { remedy: "Write 5, for the average of five seconds; names of mappings go before it." },
  );
}

/** Where counters were read: which rules were active, and what counts for them. */
interface State extends Pick<Active, "generation" | "appliedAt"> {
  /** As `DataPlane.registryId`. */
  readonly registry: number | null;
}

/** What some mappings had counted at one time. */
export interface Reading {
  /** In milliseconds of a monotonic clock. */
  readonly time: number;
  readonly state: State;
  /** Returns what the mapping with this index among all active ones had counted. */
  readonly at: (index: number) => MappingCounters | undefined;
  /** Where each mapping is, by its key; null with too many of them. */
  readonly places: ReadonlyMap<string, Place> | null;
}

interface Place {
  readonly index: number;
  /** What identifies each destination. */
  readonly to: readonly string[];
}

/** What a mapping counted in a second. */
export interface MappingRates extends Counters {
  /** How often each destination was selected; null when they are not told apart. */
  readonly to: readonly number[] | null;
}

export interface Rates {
  /** How far apart the readings were. */
  readonly seconds: number;
  /** Returns what a mapping of the second reading counted; null where it may have begun anew. */
  readonly at: (index: number) => MappingRates | null;
}

function stateOf(dataPlane: DataPlane, { generation, appliedAt }: Active): State {
  return { generation, appliedAt, registry: dataPlane.registryId() };
}

function isSame(one: State, other: State): boolean {
  return (
    one.generation === other.generation &&
    one.appliedAt === other.appliedAt &&
    one.registry === other.registry
  );
}

/**
 * Reports whether exactly one change came between the two, by which every mapping that is in both
 * has kept its counters. With more of them, it may have been removed and added again.
 */
function isNext(one: State, other: State): boolean {
  return other.generation === one.generation + 1 && other.registry === one.registry;
}

const identify = ({ address, port }: Destination): string => `${address} ${port}`;

/**
 * Reads the counters of mappings with these indexes. Returns null when the rules changed meanwhile,
 * so that indexes may mean others.
 */
export function readCounters(
  dataPlane: DataPlane,
  active: Active,
  mappings: Mappings,
  indexes: readonly number[],
): Reading | null {
  const time = performance.now();
  const state = stateOf(dataPlane, active);
  const isMany = indexes.length > TOLD_APART_MAX;
  const at = isMany ? sumsOf(dataPlane) : countersOf(dataPlane, indexes);
  const after = dataPlane.active();
  if (after === null || !isSame(state, stateOf(dataPlane, after))) return null;
  return {
    time,
    state,
    at,
    places: isMany ? null : placesOf(mappings, indexes),
  };
}

function placesOf(mappings: Mappings, indexes: readonly number[]): ReadonlyMap<string, Place> {
  const lists = toLazy(mappings);
  return new Map(
    indexes.map((index) => [
      mappingKey({ name: lists.nameAt(index), protocol: lists.protocolAt(index) }),
      { index, to: lists.toAt(index).map(identify) },
    ]),
  );
}

function countersOf(dataPlane: DataPlane, indexes: readonly number[]): Reading["at"] {
  const list = dataPlane.countersOf(indexes);
  const places = new Map(indexes.map((index, place) => [index, place]));
  return (index) => list[places.get(index) ?? -1];
}

function sumsOf(dataPlane: DataPlane): Reading["at"] {
  const list = dataPlane.counters();
  return (index) => {
    const sums = list.at(index);
    if (sums === undefined) return undefined;
    const { existing, selected, missed, errors } = sums;
    return { existing, selected, missed, errors, to: null };
  };
}

/** Returns what is known when the rules changed while the counters were read. */
export function unknownRates(seconds: number): Rates {
  return { seconds, at: () => null };
}

/** Compares two readings. `mappings` are those of the second one. */
export function ratesBetween(first: Reading, second: Reading | null, mappings: Mappings): Rates {
  if (second === null) return unknownRates((performance.now() - first.time) / 1000);
  const seconds = (second.time - first.time) / 1000;
  const same = isSame(first.state, second.state);
  const places = isNext(first.state, second.state) ? first.places : null;
  const lists = toLazy(mappings);
  const movedTo = (index: number): MappingCounters | undefined => {
    const key = mappingKey({ name: lists.nameAt(index), protocol: lists.protocolAt(index) });
    const place = places?.get(key);
    const counted = place && first.at(place.index);
    const before = counted?.to ?? null;
    if (place === undefined || counted === undefined || before === null) return counted;
    // A destination that is new has counted nothing.
    const to = lists.toAt(index).map((one) => before[place.to.indexOf(identify(one))] ?? 0);
    return { ...counted, to };
  };
  return {
    seconds,
    at: (index) => {
      const before = same ? first.at(index) : movedTo(index);
      const after = before && second.at(index);
      if (before === undefined || after === undefined) return null;
      return differenceOf(before, after, seconds);
    },
  };
}

/** Returns null when a counter has less than before: it has begun anew. */
function differenceOf(
  before: MappingCounters,
  after: MappingCounters,
  seconds: number,
): MappingRates | null {
  const existing = (after.existing - before.existing) / seconds;
  const selected = (after.selected - before.selected) / seconds;
  const missed = (after.missed - before.missed) / seconds;
  const errors = (after.errors - before.errors) / seconds;
  if (existing < 0 || selected < 0 || missed < 0 || errors < 0) return null;
  const { to: old } = before;
  // What is counted between two numbers of a reading is taken for the first destination's, so that
  // it may seem to have a little less than before.
  const to = after.to?.map((now, i) => Math.max(0, now - (old?.[i] ?? 0)) / seconds) ?? null;
  return { existing, selected, missed, errors, to: old === null ? null : to };
}
