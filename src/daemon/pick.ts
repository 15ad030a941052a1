/**
 * Picks the mappings that a listing shows, in the order that was asked for, with what they have
 * counted, how often they were used in a second, and what is open at their destinations.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Active, DataPlane } from "../dataplane/types.js";
import type { MappingCounters } from "../model/decision.js";
import { toLazy } from "../model/mappings.js";
import { type Rules, allMappings } from "../model/rules.js";
import { type Live, liveIn } from "../rules/live.js";
import { type Choice, type HealthAt, chooseMappings } from "./chosen.js";
import {
  type MappingRates,
  type Rates,
  type Reading,
  TOLD_APART_MAX,
  ratesBetween,
  readCounters,
  unknownRates,
} from "./rates.js";
import { sortIndexes } from "./sort.js";

export interface Picked {
  /** The indexes of the mappings among all active ones, in the order that was asked for. */
  readonly indexes: readonly number[];
  /** How many were chosen, including those beyond the limit. */
  readonly total: number;
  readonly counters: readonly MappingCounters[];
  /** Null when rates were not asked for; for a mapping whose counters may have begun anew. */
  readonly rates: {
    readonly seconds: number;
    readonly of: readonly (MappingRates | null)[];
  } | null;
  /** How many are open at each destination; null when they were not counted. */
  readonly live: readonly (readonly number[])[] | null;
}

/** The active rules, as they were read. */
interface Whole {
  readonly active: Active;
  readonly rules: Rules;
  /** Returns what tells the health of each mapping. */
  readonly health: () => HealthAt;
}

interface Earlier {
  /** What `readFirst` returned. */
  readonly first: Reading | null;
  /** Counts what is open. */
  readonly open: () => readonly Live[];
}

/** Waits until counters are to be read again. */
export async function untilNext(seconds: number): Promise<void> {
  await sleep(seconds * 1000);
}

/**
 * Reads the counters of what the choice may show a moment later. A mapping that has a listener now
 * may have none then. Returns null when the rules changed meanwhile.
 */
export function readFirst(
  dataPlane: DataPlane,
  { active, rules, health }: Whole,
  choice: Choice,
): Reading | null {
  const mappings = allMappings(rules);
  const fromFile = rules.file.mappings.length;
  const { services } = rules.file;
  const limit = choice.down || choice.degraded ? Infinity : choice.limit;
  const candidates = { ...choice, down: false, degraded: false, limit };
  const { indexes } = chooseMappings(mappings, { fromFile, health, services }, candidates);
  return readCounters(dataPlane, active, mappings, indexes);
}

/** Picks mappings. Throws NOT_FOUND. */
export function pickMappings(
  dataPlane: DataPlane,
  { active, rules, health }: Whole,
  choice: Choice,
  { first, open: countOpen }: Earlier,
): Picked {
  const mappings = allMappings(rules);
  const fromFile = rules.file.mappings.length;
  const { services } = rules.file;
  const { indexes: candidates, total } = chooseMappings(
    mappings,
    { fromFile, health, services },
    choice,
  );
  const { sort, limit, rateSeconds } = choice;
  const live = choice.connections ? countOpen() : null;
  const openOf = (indexes: readonly number[]): Picked["live"] =>
    live && liveIn(rules, indexes, live);
  const ratesOf = (indexes: readonly number[]): Rates | null => {
    if (rateSeconds === null) return null;
    if (first === null) return unknownRates(rateSeconds);
    return ratesBetween(first, readCounters(dataPlane, active, mappings, indexes), mappings);
  };
  // What the order goes by is known of all candidates.
  const open = sort === "connections" ? openOf(candidates) : null;
  const rates = sort === "rate" ? ratesOf(candidates) : null;
  const amountOf = amounts();
  const lists = toLazy(mappings);
  const indexes = sortIndexes(lists, candidates, sort, amountOf).slice(0, limit);
  const measured = rates ?? ratesOf(indexes);
  return {
    indexes,
    total,
    counters: dataPlane.countersOf(indexes),
    rates: measured && { seconds: measured.seconds, of: indexes.map(measured.at) },
    live: open === null ? openOf(indexes) : shownOf(open),
  };

  /** Returns what is open at those that are shown. */
  function shownOf(counts: NonNullable<Picked["live"]>): Picked["live"] {
    const places = new Map(candidates.map((index, place) => [index, place]));
    return indexes.map((index) => counts[places.get(index) ?? -1] ?? []);
  }

  /** Returns the number that the order goes by, by the place among the candidates. */
  function amounts(): (place: number) => number | null {
    if (sort === "rate") return (place) => rates?.at(candidates[place] ?? -1)?.selected ?? null;
    if (sort === "connections") {
      return (place) => (open?.[place] ?? []).reduce((sum, one) => sum + one, 0);
    }
    if (sort !== "selected" && sort !== "missed") return () => null;
    if (candidates.length > TOLD_APART_MAX) {
      const all = dataPlane.counters();
      return (place) => all.at(candidates[place] ?? -1)?.[sort] ?? null;
    }
    const some = dataPlane.countersOf(candidates);
    return (place) => some[place]?.[sort] ?? null;
  }
}
