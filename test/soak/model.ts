/** Who has to get what is dialled: the kernel's rules and ours in forty obvious lines, over sets of sockets. */
import type { Kind } from "../support/lab.js";
import type { Family, Protocol } from "../support/matrix.js";

export const existings = ["exact", "any", "never"] as const;

/** Where a socket is bound: the two destinations of the mapping, the server's first address, or the wildcard. */
export const places = ["app", "spare", "public", "wildcard"] as const;
export type Place = (typeof places)[number];

export interface Rule {
  readonly protocol: Protocol;
  readonly port: number;
  readonly existing: (typeof existings)[number];
}

export interface Socket {
  readonly name: string;
  readonly kind: Kind;
  readonly family: Family;
  readonly place: Place;
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
  const at = (place: Place): readonly string[] =>
    sockets
      .filter((socket) => socket.listens && socket.family === family && socket.place === place)
      .map(({ tag }) => tag);
  const exact = dialled === "public" ? at("public") : [];
  const wildcard = at("wildcard");
  const order = [
    rule.existing === "never" ? [] : exact,
    rule.existing === "any" ? wildcard : [],
    at("app"),
    at("spare"),
    exact,
    wildcard,
  ];
  return order.find((tags) => tags.length > 0) ?? [];
}
