/**
 * What the user means, after parsing: plain data that survives JSON, so that the same values are
 * compiled, stored beside the generation in the kernel, sent over the API and shown.
 */
import type { Address, Prefix } from "./address.js";

export type Protocol = "tcp" | "udp";

export const protocols: readonly Protocol[] = ["tcp", "udp"];

/** An inclusive range of ports, 1 to 65535, in host byte order. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Where a mapping or service was written, for error messages. It is not part of its identity. */
export interface Origin {
  /** The file name as given, `<argument>`, `<stdin>` or `<runtime>`. */
  readonly file: string;
  /** The line, from 1 on; 0 when there is none (arguments). */
  readonly line: number;
  readonly column: number;
}

export interface Destination {
  /** The address; `"*"` is the wildcard listener (0.0.0.0, or :: for IPv6 and dual-stack). */
  readonly address: Address | "*";
  /** The port; `"same"` is the port that was dialled. */
  readonly port: number | "same";
  /**
   * The service by whose name the address was given, if any. Neighbours from one service are
   * alternatives per family.
   */
  readonly service?: string;
  /**
   * The share of clients, 0 to 1000, relative to the others of the list. Either all destinations of
   * a mapping have one, or none has. 0 gets nobody new.
   */
  readonly weight?: number;
  /** The mapping's choice, or else that of the service that owns the address. Absent means auto. */
  readonly handover?: HandoverChoice;
  /**
   * Set for an IPv4 address whose listener may be a dual-stack socket, because wildcard binds of
   * its service are rewritten: IPv6 packets go there too.
   */
  readonly dualStack?: true;
}

/**
 * Who hands packets to a destination's sockets. `lookup`: sk_lookup, from a socket map. `ingress`:
 * the program at ingress, so the sockets are put into no map. `auto`: TCP as `lookup`; UDP as
 * `ingress`, or as `lookup` where that does not work.
 */
export const handovers = ["auto", "lookup", "ingress"] as const;

export type HandoverChoice = (typeof handovers)[number];

export const MAX_WEIGHT = 1000;

/** The maximum length of a description, in characters as users count them (code points). */
export const MAX_DESCRIPTION_LENGTH = 200;

/**
 * The maximum length of an interface's name in bytes (IFNAMSIZ without the final NUL,
 * include/uapi/linux/if.h).
 */
export const MAX_INTERFACE_LENGTH = 15;

/** What counts as "already listening" and keeps its connections. */
export type Existing = "exact" | "any" | "never";

/** What happens when no destination listens. */
export type Miss = "pass" | "reject";

/**
 * One mapping of one protocol. An entry of the file with `protocol: [tcp, udp]` becomes two of
 * these, with the same name. Name and protocol are its identity, by which counters carry over
 * across reloads.
 */
export interface Mapping {
  /**
   * The name as given, or derived from what it matches, such as `tcp:443` or
   * `udp:53@2001:db8::/32`.
   */
  readonly name: string;
  readonly protocol: Protocol;
  /** The ports: sorted, disjoint, not adjacent, not empty. */
  readonly ports: readonly PortRange[];
  /** The dialled local prefixes; empty means all. They are canonical, without duplicates. */
  readonly on: readonly Prefix[];
  /**
   * The remote prefixes that connections come from; absent means all. They are canonical, without
   * duplicates, not empty.
   */
  readonly from?: readonly Prefix[];
  /**
   * The names of the interfaces that connections come in on; absent means all. They are sorted,
   * without duplicates, not empty.
   */
  readonly interfaces?: readonly string[];
  /**
   * The destinations. The first that listens gets the connection; with weights, the one that the
   * client falls to. None: connections are refused on purpose, and `miss` is reject.
   */
  readonly to: readonly Destination[];
  readonly existing: Existing;
  readonly miss: Miss;
  /**
   * Who may listen on the dialled address, besides root and the owners of the services that the
   * mapping leads to. Absent means nobody else. A list is canonical, without duplicates, not empty.
   */
  readonly listeners?: Listeners;
  /**
   * When it ends, in seconds since the host was booted; absent means never. It is then passed over,
   * as with a condition that is not met.
   */
  readonly until?: number;
  /** What it is for, in the user's words. It decides nothing. */
  readonly description?: string;
  readonly origin: Origin;
}

export type Listeners = "anyone" | readonly Owner[];

/**
 * Whose sockets are meant. A socket has to match everything that is given, which is at least one. A
 * user or a group is a name, or a numeric id.
 */
export interface Owner {
  /** The systemd unit, with its suffix: `.service` or `.scope`. */
  readonly unit?: string;
  readonly user?: string | number;
  readonly group?: string | number;
}

/** The largest id of a user or a group; 4294967295 is no id (chown(2): -1 changes nothing). */
export const MAX_ID = 0xffff_fffe;

/** What happens to a socket that binds to 0.0.0.0 or ::. */
export const wildcardPolicies = ["allow", "report", "deny"] as const;

export type WildcardPolicy = (typeof wildcardPolicies)[number];

/** `rewrite` gives the socket the service's own address, which others have none of. */
export const serviceWildcards = [...wildcardPolicies, "rewrite"] as const;

export type ServiceWildcard = (typeof serviceWildcards)[number];

export interface Service {
  readonly name: string;
  /** The service's addresses, at least one. */
  readonly addresses: readonly Address[];
  /** The choice for all mappings that lead there and make none themselves. Absent means auto. */
  readonly handover?: HandoverChoice;
  /** Set when its own datagrams leave from the one address and port that lead to it. */
  readonly originate?: true;
  /** Who may listen on its addresses. Absent means anyone. */
  readonly owner?: Owner;
  /** Set when its owner's sockets are never MPTCP sockets. */
  readonly mptcp?: "off";
  /** What happens when its owner binds to 0.0.0.0 or ::. Absent means the host's policy. */
  readonly wildcard?: ServiceWildcard;
  /** What it is, in the user's words. */
  readonly description?: string;
  readonly origin: Origin;
}

/**
 * How the listener of a destination is found. `kfunc`: in the kernel's own tables, through the
 * module ilm_lookup. `registry`: among the listeners that registered themselves. `auto`: kfunc
 * where the module is loaded, otherwise registry.
 */
export const engines = ["auto", "kfunc", "registry"] as const;

export type Engine = (typeof engines)[number];

/**
 * Whether MPTCP is allowed. `off` refuses MPTCP sockets in the network namespace, like a kernel
 * without MPTCP, so that programs fall back to TCP.
 */
export const mptcpModes = ["on", "off"] as const;

export type MptcpMode = (typeof mptcpModes)[number];

/**
 * What a socket gets on a mapped port whose mapping does not permit it. `refuse`: nothing.
 * `report`: what the mapping leaves to it, and `audit` lists it. `allow`: the same, unlisted.
 */
export const strangerPolicies = ["refuse", "report", "allow"] as const;

export type StrangerPolicy = (typeof strangerPolicies)[number];

/** What binds to 0.0.0.0 or :: gets, by who binds. */
export interface WildcardPolicies {
  /** The policy for all others. Absent means report. */
  readonly default?: WildcardPolicy;
  /** The policies by unit name, with its suffix; sorted, not empty. */
  readonly units?: Readonly<Record<string, WildcardPolicy>>;
  /** The policies by user: a name, or an id in decimal digits; sorted, not empty. */
  readonly users?: Readonly<Record<string, WildcardPolicy>>;
}

/** Reports whether the mapping takes some packets only. Others pass on to the next best mapping. */
export function isConditional({
  from,
  interfaces,
  until,
}: Pick<Mapping, "from" | "interfaces" | "until">): boolean {
  return from !== undefined || interfaces !== undefined || until !== undefined;
}

/** Reports whether the mapping is over at this second since boot. */
export function hasEnded({ until }: Pick<Mapping, "until">, now: number): boolean {
  return until !== undefined && until <= now;
}

export function isWeighted(mapping: Pick<Mapping, "to">): boolean {
  return mapping.to[0]?.weight !== undefined;
}

/** Reports whether the mapping refuses on purpose what it takes (`to: none`). */
export function isRefusal(mapping: Pick<Mapping, "to">): boolean {
  return mapping.to.length === 0;
}

/** Returns the identity of a mapping, for maps and comparisons. */
export function mappingKey(mapping: Pick<Mapping, "name" | "protocol">): string {
  return `${mapping.protocol} ${mapping.name}`;
}
