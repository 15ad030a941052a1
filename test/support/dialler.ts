/** Dials, and who answered. */
import { Conversation } from "./conversation.js";
import type { Protocol } from "./matrix.js";
import type { Background } from "./process.js";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export type Dial =
  | {
      readonly answered: true;
      /** The daemon that answered. */
      readonly tag: string;
      /** The client, as the daemon sees it. */
      readonly peer: Endpoint;
      /** What getsockname() says in the daemon. */
      readonly local: Endpoint;
      /** The client's own end. */
      readonly client: Endpoint;
      /** Where the answer came from, as the client sees it. */
      readonly repliedFrom: Endpoint;
      /** For a client that asked for MPTCP: false when the connection fell back to plain TCP. */
      readonly mptcp?: boolean;
      /** Bytes of the datagram, when the daemon is a lab. */
      readonly length?: number;
    }
  | { readonly answered: false; readonly errno: string };

export interface DialOptions {
  /** False: an unconnected UDP socket, which takes an answer from anybody and sees no refusal. */
  readonly connected?: boolean;
  readonly from?: readonly [string, number];
  /** SO_BINDTODEVICE */
  readonly device?: string;
  readonly timeout_s?: number;
  /** The client speaks MPTCP, if the daemon does. */
  readonly mptcp?: boolean;
  /** Bytes of a datagram. */
  readonly length?: number;
  /** What every packet of the client carries beside its data. */
  readonly headers?: readonly ("options" | "hop-by-hop" | "destination")[];
  /** Who closes a connection; default: the daemon, and the client when that has. */
  readonly closes?: "first" | "last";
  /** Bytes that it sends first over a connection. */
  readonly uploads?: number;
}

/** What the kernel answers when nothing listens there. */
export const refused: Dial = { answered: false, errno: "ECONNREFUSED" };

/** A dialler that stays in a namespace: a dial costs a millisecond, not a process. */
export class Dialler {
  readonly #conversation: Conversation;

  /** `start` starts python/dial.py where the dials are to come from. */
  constructor(start: () => Background) {
    this.#conversation = new Conversation(start);
  }

  async dial(
    protocol: Protocol,
    address: string,
    port: number,
    options: DialOptions = {},
  ): Promise<Dial> {
    const request = {
      protocol,
      address,
      port,
      from: options.from ?? null,
      connected: options.connected ?? true,
      // Long: a busy machine is no refusal. Whoever expects no answer says how long that takes.
      timeout_s: options.timeout_s ?? 30,
      mptcp: options.mptcp ?? false,
      length: options.length ?? 5,
      headers: options.headers ?? [],
      closes: options.closes ?? "last",
      device: options.device ?? null,
      uploads: options.uploads ?? 0,
    };
    return (await this.#conversation.ask(request)) as Dial;
  }

  async stop(): Promise<void> {
    await this.#conversation.stop();
  }
}
