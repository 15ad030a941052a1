/** A decision of the data plane, as `explain` and `monitor` see it. */
import type { Address } from "./address.js";
import type { Protocol } from "./mapping.js";

/**
 * unmanaged: no mapping covers it (or the address is a service's own); the kernel goes on as
 * without us. existing: a socket already listens on what was dialled; it keeps it. selected: a
 * destination got it. missed: no destination listens, the kernel goes on. rejected: likewise, and
 * `miss: reject`.
 */
export type Verdict = "unmanaged" | "existing" | "selected" | "missed" | "rejected";

/** What a packet looks like to the lookup. Ports in host byte order. */
export interface Packet {
  readonly protocol: Protocol;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  /** Interface index the packet came in on; 0 when it does not matter. */
  readonly interfaceIndex: number;
}

/**
 * What became of one destination that was tried, in order. `unreached`: somebody listens whom only
 * ingress could give it, and that cannot.
 */
export type Attempt = "selected" | "absent" | "wrong-family" | "failed" | "unreached";

/** Why the lookup ended before, or how it came to, a mapping. */
export type MatchedBy = "none" | "owned" | "default" | "exact" | "prefix";

export interface Decision {
  readonly verdict: Verdict;
  readonly packet: Packet;
  /** Index into `allMappings(rules)` of the generation that decided; null when unmanaged. */
  readonly mapping: number | null;
  readonly matchedBy: MatchedBy;
  /** Index into that mapping's `to`; null when nothing was selected. */
  readonly destination: number | null;
  /** Indexes into `to` with what became of each, in the order tried. */
  readonly attempts: readonly { readonly destination: number; readonly outcome: Attempt }[];
  /** Generation number that decided. */
  readonly generation: number;
}

export interface Counters {
  readonly existing: number;
  readonly selected: number;
  readonly missed: number;
  readonly errors: number;
}

/** What each of a list of mappings has counted. */
export interface CounterList {
  readonly length: number;
  at(index: number): Counters | undefined;
  total(): Counters;
}
