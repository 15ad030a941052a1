/** What was refused to whom, or reported of them, because an address belongs to somebody else. */
import type { Address } from "./address.js";
import type { Protocol } from "./mapping.js";

/**
 * Why. `address`: it bound to a service's own address. `mapped`: it bound to a dialled address, on
 * a port that a mapping covers. `wildcard`: it bound to 0.0.0.0 or ::. `reported`: the same, and it
 * was allowed. `lookup`: a packet came for a listener that may not have it.
 */
export const refusalReasons = ["address", "mapped", "wildcard", "reported", "lookup"] as const;

export type RefusalReason = (typeof refusalReasons)[number];

export interface RefusedAttempt {
  readonly reason: RefusalReason;
  readonly protocol: Protocol;
  /** The address that was bound to, or that the packet was for. */
  readonly address: Address;
  /** The port in host byte order. */
  readonly port: number;
  /** The user and group that created the socket; null for a packet. */
  readonly uid: number | null;
  readonly gid: number | null;
  /** The process that tried first, as it was then; null for a packet. */
  readonly pid: number | null;
  readonly command: string | null;
}

export interface Refusal extends RefusedAttempt {
  readonly count: number;
  /** When it happened last, in milliseconds since the epoch. */
  readonly lastAt: number;
}
