/**
 * Who has to get what is dialled: the kernel's rules and ours in forty obvious lines, over sets of
 * sockets.
 */
import type { Kind } from "../support/lab.js";
import type { Family, Protocol } from "../support/matrix.js";

/** Sorts of rule; the last is `existing: exact` with the wildcard as its first destination. */
export const sorts = ["exact", "any", "never", "wildcard"] as const;

/**
 * Where a socket is bound: the two destinations of the mapping, the server's first address, or the
 * wildcard.
 */
export const places = ["app", "spare", "public", "wildcard"] as const;
export type Place = (typeof places)[number];

export interface Rule {
  readonly protocol: Protocol;
  readonly port: number;
  readonly sort: (typeof sorts)[number];
}

export interface Socket {
  readonly name: string;
  readonly kind: Kind;
  readonly family: Family;
  readonly place: Place;
  /** An IPv6 socket on the wildcard that takes IPv4 too. */
  readonly dual: boolean;
  readonly tag: string;
  /** A bound TCP socket that does not listen, and a connected UDP socket, are no listeners. */
  readonly listens: boolean;
}

/** The addresses that clients dial: with a socket of its own, or without. */
export type Dialled = "public" | "second";

/** Tags of the sockets of which one has to answer; empty: the client is refused. */
export function whoAnswers(
  rule: Rule,
  sockets: readonly Socket[],
  family: Family,
  dialled: Dialled,
): readonly string[] {
  const tagsOf = (fits: (socket: Socket) => boolean): readonly string[] =>
    sockets.filter((socket) => socket.listens && fits(socket)).map(({ tag }) => tag);
  const at = (place: Place): readonly string[] =>
    tagsOf((socket) => socket.family === family && socket.place === place);
  const exact = dialled === "public" ? at("public") : [];
  // The kernel gives IPv4 to an IPv4 socket before one that takes both (net/ipv4/inet_hashtables.c,
  // compute_score).
  const own = at("wildcard");
  const wildcard = own.length > 0 || family === 6 ? own : tagsOf(({ dual }) => dual);
  const order = [
    rule.sort === "never" ? [] : exact,
    rule.sort === "any" || rule.sort === "wildcard" ? wildcard : [],
    rule.sort === "wildcard" ? [] : at("app"),
    at("spare"),
    exact,
    wildcard,
  ];
  return order.find((tags) => tags.length > 0) ?? [];
}
