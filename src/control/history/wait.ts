/**
 * What the history says of changes that wait for their confirmation: what going back makes of the
 * rules, and whether a wait has ended that no entry tells of yet.
 */
import type { Snapshot } from "../../dataplane/types.js";
import { thisBoot } from "../../kernel/boot-time.js";
import { type ChangeSummary, inverseOf } from "../../rules/summary.js";
import type { Entry, HeldText, Wait } from "./entry.js";
import type { HistoryStore } from "./store.js";

/** What it means for the rules of an entry to go back. */
export interface WayBack {
  /** The entry whose rules decide again; null when there were none, or it is not kept any more. */
  readonly target: Entry | null;
  /** What that does to the mappings. */
  readonly difference: ChangeSummary | null;
  /** What is turned away from then on. */
  readonly held: readonly HeldText[];
}

/** Returns the way back from an entry that waits, as its `wait` says. */
export function wayBack(store: HistoryStore, entry: Entry, wait: Wait): WayBack {
  const target = wait.to === null ? null : store.entry(wait.to);
  const change = wait.change === null ? entry : store.entry(wait.change);
  const turnedAway = new Set(wait.held.map(({ sources }) => JSON.stringify(sources)));
  const still = (target?.held ?? []).filter(
    ({ sources }) => !turnedAway.has(JSON.stringify(sources)),
  );
  return {
    target,
    difference: change?.difference ? inverseOf(change.difference) : null,
    held: [...wait.held, ...still],
  };
}

/** The end of a wait. */
export interface WaitEnd {
  /** The last entry, whose rules waited. */
  readonly entry: Entry;
  readonly wait: Wait;
  /** True when the rules of the entry decide for good, false when they went back. */
  readonly confirmed: boolean;
  /** When they went back: ISO 8601, UTC. */
  readonly at: string;
}

/**
 * Returns how the wait of the last entry ended; null when it has none, or goes on. Whoever took
 * part in the end has recorded it, so this one had no witness.
 */
export function unrecordedEnd(store: HistoryStore, active: Snapshot | null): WaitEnd | null {
  const [entry] = store.entries();
  const wait = entry?.wait;
  if (entry === undefined || wait === undefined) return null;
  const decides = active?.digest === entry.digest;
  if (decides && active?.pending !== null) return null;
  const at = active?.wentBackAt ?? endedAt(entry, wait);
  return { entry, wait, confirmed: decides, at };
}

/** Tells when a wait was over that the kernel knows nothing of: a boot ends it, too. */
function endedAt({ time }: Entry, { until }: Wait): string {
  const boot = Date.parse(thisBoot().at);
  const ends = [Date.parse(until), Date.now(), ...(boot > Date.parse(time) ? [boot] : [])];
  return new Date(Math.min(...ends)).toISOString();
}
