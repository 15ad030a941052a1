/**
 * Daemons as their packages have them: how each is told where to listen, and what it says of the
 * connections that it gets.
 */
import type { Family, Protocol } from "../matrix.js";
import type { Namespace } from "../namespace.js";
import type { Background } from "../process.js";
import type { Server } from "../server.js";

/** The addresses of a service. */
export type Own = Readonly<Record<Family, string>>;

/** One way of telling a daemon where to listen. */
export interface Way {
  /** What the daemon's configuration, command line or source has for it. */
  readonly written: readonly string[];
  /** The addresses, for a program that takes them as arguments; none: it takes every address. */
  readonly hosts: readonly string[];
  /** Over which it can be reached at all; default: both. */
  readonly families?: readonly Family[];
}

/** What a daemon answers. */
export interface Answer {
  /** Which of two it is. */
  readonly name: string;
  /** Its own end, as the daemon tells it. */
  readonly itself?: { readonly address: string; readonly port?: number };
  /** The client's address, as the daemon tells it. */
  readonly peer?: string;
}

/** Dials, and gives what the daemon answers. Throws when nothing does. */
export type Ask = (
  from: Namespace,
  protocol: Protocol,
  dialled: string,
  port: number,
) => Promise<Answer>;

export interface Running {
  readonly process: Background;
  readonly ask: Ask;
  /** `ask` that also gives what the daemon sees; where that takes longer. */
  readonly look?: Ask;
  /** Its file, which `reload` reads again. */
  readonly configuration?: string;
  /** Everything that it has logged. */
  log(): string;
  /** Has it read its configuration again, and waits until that is done. */
  reload?(): Promise<void>;
}

export interface Start {
  readonly server: Server;
  readonly name: string;
  /** The unit that it is in. */
  readonly unit: string;
  readonly way: Way;
}

/** What a daemon does not serve, whoever gives it the socket. */
export interface Deaf {
  readonly protocol: Protocol;
  readonly families: readonly Family[];
  /** It serves what was dialled on its own port, and nothing else. */
  readonly ownPort: boolean;
}

export interface Stock {
  /** As the table has it. */
  readonly name: string;
  readonly port: number;
  readonly protocols: readonly Protocol[];
  /** To listen on the addresses of its service. */
  own(addresses: Own): readonly Way[];
  /** To listen on every address. */
  readonly every: readonly Way[];
  /** What else its service says. */
  readonly service?: string;
  /** Its log names clients. */
  readonly logs?: boolean;
  /** Beside NAT it gets no connection, as its sockets are MPTCP. */
  readonly lostToNat?: boolean;
  /** What `reload` is, as the table has it. */
  readonly reload?: string;
  deaf?(way: Way): readonly Deaf[];
  start(start: Start): Promise<Running>;
}
