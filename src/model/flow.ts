/** A UDP client that a mapping brought to a daemon. Replies come from what the client dialled. */
import type { Address } from "./address.js";

export interface FlowEnd {
  readonly address: Address;
  /** The port in host byte order. */
  readonly port: number;
}

export interface Flow {
  readonly client: FlowEnd;
  readonly dialled: FlowEnd;
  /** What the daemon is bound to; the unspecified address for a wildcard listener. */
  readonly daemon: FlowEnd;
  /** Seconds since the last datagram from either end. */
  readonly idle_s: number;
}
