/** A decision of the data plane, as `explain` and `monitor` show it. */
import type { Address, Prefix } from "./address.js";
import type { PortRange, Protocol } from "./mapping.js";

/**
 * The outcome of a lookup. `unmanaged`: no mapping covers the packet (or the address is a service's
 * own), and the kernel continues as without us. `existing`: a socket already listens on what was
 * dialled, and keeps it. `selected`: a destination got it. `missed`: no destination listens, and
 * the kernel continues. `rejected`: no destination listens, and the mapping says `miss: reject`.
 */
export type Verdict = "unmanaged" | "existing" | "selected" | "missed" | "rejected";

/** What a packet looks like to the lookup. Ports are in host byte order. */
export interface Packet {
  readonly protocol: Protocol;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  /** The index of the interface that the packet came in on; 0 when it does not matter. */
  readonly interfaceIndex: number;
}

/**
 * What became of a destination that was tried. `unreached`: only ingress could hand over to its
 * listener, and cannot. `drained`: it gets nobody new, and the client is new to it.
 */
export type Attempt = "selected" | "absent" | "wrong-family" | "failed" | "unreached" | "drained";

/** Why the lookup ended before a mapping, or how it found one. */
export type MatchedBy = "none" | "owned" | "default" | "exact" | "prefix";

export interface Decision {
  readonly verdict: Verdict;
  readonly packet: Packet;
  /** The index into `allMappings(rules)` of the generation that decided; null when unmanaged. */
  readonly mapping: number | null;
  readonly matchedBy: MatchedBy;
  /**
   * True when a socket listens on what was dialled, or would get it from the kernel, whom the rules
   * do not permit.
   */
  readonly strangers: boolean;
  /** The index into the mapping's `to`; null when nothing was selected. */
  readonly destination: number | null;
  /** The destinations tried, as indexes into `to`, in order, with the outcome of each. */
  readonly attempts: readonly { readonly destination: number; readonly outcome: Attempt }[];
  /** The number of the generation that decided. */
  readonly generation: number;
}

export interface Counters {
  readonly existing: number;
  readonly selected: number;
  readonly missed: number;
  readonly errors: number;
}

/** What a mapping has counted, also by destination. */
export interface MappingCounters extends Counters {
  /**
   * How often each destination was selected, in the order of the mapping's `to`. Null when an
   * earlier version counts, which does not tell destinations apart.
   */
  readonly to: readonly number[] | null;
}

/** What each mapping of a list has counted. */
export interface CounterList {
  readonly length: number;
  at(index: number): Counters | undefined;
  total(): Counters;
}

/** Which decisions a reader wants, and how many of them; null: any. */
export interface DecisionFilter {
  readonly protocol: Protocol | null;
  /** What was dialled. */
  readonly local: Prefix | null;
  readonly ports: PortRange | null;
  /** The clients; of the same family as `local`, if both are given. */
  readonly remote: Prefix | null;
  /** The names of mappings. */
  readonly mappings: readonly string[] | null;
  readonly verdicts: readonly Verdict[] | null;
  /** One of so many of these is chosen, at random. */
  readonly every: number;
  /** The most that are given in a second; the others are dropped, and counted. */
  readonly perSecond: number;
}

/** What became of decisions that were made while a reader watched. */
export interface DecisionCounts {
  readonly decisions: number;
  /** Of the decisions, those that pass the reader's filter. */
  readonly matched: number;
  /** Of the matched, those that the sample left out. */
  readonly skipped: number;
  /** Of the matched, those that came faster than the reader takes them. */
  readonly dropped: number;
}

export const nothingCounted: DecisionCounts = {
  decisions: 0,
  matched: 0,
  skipped: 0,
  dropped: 0,
};

/** Returns the sums of two, less a third. */
export function addCounts(
  some: DecisionCounts,
  more: DecisionCounts,
  less: DecisionCounts = nothingCounted,
): DecisionCounts {
  return {
    decisions: some.decisions + more.decisions - less.decisions,
    matched: some.matched + more.matched - less.matched,
    skipped: some.skipped + more.skipped - less.skipped,
    dropped: some.dropped + more.dropped - less.dropped,
  };
}
