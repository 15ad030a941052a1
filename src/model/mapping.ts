/**
 * What the user means, after parsing: plain data that survives JSON, so that the same values are
 * compiled, stored beside the generation in the kernel, sent over the API and shown.
 */
import type { Address, Prefix } from "./address.js";

export type Protocol = "tcp" | "udp";

export const protocols: readonly Protocol[] = ["tcp", "udp"];

/** Inclusive, 1 to 65535, host byte order. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Where a mapping or service was written, for error messages. Not part of its identity. */
export interface Origin {
  /** File name as given, `<argument>`, `<stdin>` or `<runtime>`. */
  readonly file: string;
  /** 1-based; 0 when there is no line (arguments). */
  readonly line: number;
  readonly column: number;
}

export interface Destination {
  /** `"*"`: the wildcard listener (0.0.0.0, or :: for IPv6 and dual-stack). */
  readonly address: Address | "*";
  /** `"same"`: the port that was dialled. */
  readonly port: number | "same";
  /**
   * The service that this address was named by, if any. Neighbours of one service are alternatives
   * per family.
   */
  readonly service?: string;
  /**
   * Share of the clients, 1 to 1000, against the others of the list. All destinations of a mapping
   * have one, or none has.
   */
  readonly weight?: number;
  /** Of the mapping, or else of the service whose address it is; absent: auto. */
  readonly handover?: HandoverChoice;
}

/**
 * Who gives a destination's sockets what is for them. `lookup`: sk_lookup, out of a socket map.
 * `ingress`: the program at ingress, so that the sockets are put into no map. `auto`: TCP as
 * `lookup`; UDP as `ingress`, and as `lookup` where that does not do.
 */
export const handovers = ["auto", "lookup", "ingress"] as const;

export type HandoverChoice = (typeof handovers)[number];

export const MAX_WEIGHT = 1000;

/** Bytes of an interface's name (IFNAMSIZ less the final NUL, include/uapi/linux/if.h). */
export const MAX_INTERFACE_LENGTH = 15;

/** What counts as "already listening" and keeps its connections. */
export type Existing = "exact" | "any" | "never";

/** What happens when no destination listens. */
export type Miss = "pass" | "reject";

/**
 * One mapping of one protocol. An entry of the file with `protocol: [tcp, udp]` is two of these,
 * with the same name. (name, protocol) is its identity: counters carry on across reloads by it.
 */
export interface Mapping {
  /** Given, or derived from what it matches, e.g. `tcp:443` or `udp:53@2001:db8::/32`. */
  readonly name: string;
  readonly protocol: Protocol;
  /** Sorted, disjoint, not adjacent, not empty. */
  readonly ports: readonly PortRange[];
  /** Local prefixes dialled; empty: all. Canonical, without duplicates. */
  readonly on: readonly Prefix[];
  /**
   * Remote prefixes that connections come from; absent: all. Canonical, without duplicates, not
   * empty.
   */
  readonly from?: readonly Prefix[];
  /**
   * Names of the interfaces that connections come in on; absent: all. Without duplicates, not
   * empty, sorted.
   */
  readonly interfaces?: readonly string[];
  /**
   * At least one; the first that listens gets the connection, or with weights the one that the
   * client falls to.
   */
  readonly to: readonly Destination[];
  readonly existing: Existing;
  readonly miss: Miss;
  readonly origin: Origin;
}

export interface Service {
  readonly name: string;
  /** At least one. */
  readonly addresses: readonly Address[];
  /** Of all mappings that lead there and say nothing else; absent: auto. */
  readonly handover?: HandoverChoice;
  /** Its own datagrams leave from the one address and port that lead to it. Absent: they do not. */
  readonly originate?: true;
  readonly origin: Origin;
}

/**
 * How the listener of a destination is found. `kfunc`: in the kernel's own tables, through the
 * module ilm_lookup. `registry`: among the listeners that registered themselves. `auto`: kfunc
 * where the module is loaded, else registry.
 */
export const engines = ["auto", "kfunc", "registry"] as const;

export type Engine = (typeof engines)[number];

/**
 * `off`: whoever opens an MPTCP socket in the network namespace is refused it, as by a kernel
 * without MPTCP, and falls back to TCP.
 */
export const mptcpModes = ["on", "off"] as const;

export type MptcpMode = (typeof mptcpModes)[number];

/** A mapping that only some packets meet: others pass it over for the next best. */
export function isConditional(mapping: Mapping): boolean {
  return mapping.from !== undefined || mapping.interfaces !== undefined;
}

export function isWeighted(mapping: Pick<Mapping, "to">): boolean {
  return mapping.to[0]?.weight !== undefined;
}

/** The identity of a mapping, for maps and comparisons. */
export function mappingKey(mapping: Pick<Mapping, "name" | "protocol">): string {
  return `${mapping.protocol} ${mapping.name}`;
}
