/**
 * A UDP client that a mapping brought to a daemon: what it dialled is where its replies come from.
 */
import type { Address } from "./address.js";

export interface FlowEnd {
  readonly address: Address;
  /** Host byte order. */
  readonly port: number;
}

export interface Flow {
  readonly client: FlowEnd;
  readonly dialled: FlowEnd;
  /** What the daemon is bound to; the unspecified address for a wildcard listener. */
  readonly daemon: FlowEnd;
  /** Seconds since the last datagram of either end. */
  readonly idle_s: number;
}
