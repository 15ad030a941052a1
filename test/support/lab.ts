/** A daemon that does with its sockets what a test tells it; see python/lab.py. */
import { afterAll, afterEach, beforeEach } from "vitest";
import { type Actor, commandAs } from "./actor.js";
import { Conversation } from "./conversation.js";
import type { Namespace } from "./namespace.js";
import type { Network } from "./network.js";
import { python, script } from "./paths.js";
import type { Background } from "./process.js";

export const kinds = ["tcp", "mptcp", "udp"] as const;
export type Kind = (typeof kinds)[number];

/** What the wire has: MPTCP is TCP with options. */
export function protocolOf(kind: Kind): "tcp" | "udp" {
  return kind === "udp" ? "udp" : "tcp";
}

export interface OpenOptions {
  readonly options?: readonly (
    | "reuseport"
    | "reuseaddr"
    | "v6only"
    | "dual"
    | "freebind"
    | "transparent"
    | "late"
    | "broadcast"
    | "group"
    | "encap"
  )[];
  /** SO_BINDTODEVICE */
  readonly device?: string;
  /** What clients are told; default: the socket's name. */
  readonly tag?: string;
  /** A SO_REUSEPORT group's own program: always this member. */
  readonly selector?: number;
  readonly listen?: boolean;
  /** Connections that wait for accept(); default: 1024. */
  readonly backlog?: number;
  /** A listener that is refused MPTCP listens with plain TCP, as Go's programs do. */
  readonly falls_back?: boolean;
  /** Who closes first keeps the remains of the connection (TIME_WAIT); default: the daemon. */
  readonly closes?: "first" | "last";
  /** Bytes that it reads of a connection before it answers. */
  readonly reads?: number;
  /** A socket whose bind() or listen() failed is kept all the same. */
  readonly keep?: boolean;
  /** False: the kernel chooses address and port when they are needed. */
  readonly bind?: boolean;
  /** io_uring makes the socket, binds it and has it listen. */
  readonly uring?: boolean;
}

interface Answer {
  readonly done: boolean;
  readonly errno?: string;
  readonly [detail: string]: unknown;
}

/** What a receiver sees of its queue. */
export interface Seen {
  readonly done: boolean;
  readonly events: number;
  readonly queued: number;
  readonly length?: number;
  readonly left?: number;
  readonly errno?: string;
  readonly ancillary?: readonly (readonly number[])[];
  readonly errors?: readonly (readonly number[])[];
}

export interface Opened {
  /** What getsockname() answers. */
  readonly address: string;
  readonly port: number;
  readonly cookie: string;
}

const labs = new Set<Background>();

/** Ends every lab, with what it forked. */
export async function stopLabs(): Promise<void> {
  await Promise.all([...labs].map(async (process) => await process.stop()));
  labs.clear();
}

/** A lab at the server for the tests of the file: each finds it without sockets. */
export function useLab(network: Network, take: (lab: Lab) => void): void {
  let shared: Lab | null = null;

  beforeEach(async () => {
    // A test may have ended it.
    if (shared?.process.running === true) return;
    shared = await Lab.start(network.server);
    take(shared);
  });

  afterEach(async () => {
    const others = [...labs].filter((process) => process !== shared?.process);
    await Promise.all(others.map(async (process) => await process.stop()));
    if (shared?.process.running === true) await shared.do("close_all", "");
  });

  afterAll(async () => {
    await stopLabs();
  });
}

export class Lab {
  readonly process: Background;
  readonly #conversation: Conversation;

  private constructor(process: Background) {
    this.process = process;
    this.#conversation = new Conversation(() => {
      if (!process.running) throw new Error("the lab has ended");
      return process;
    });
  }

  static async start(namespace: Namespace, as: Actor = {}): Promise<Lab> {
    const process = namespace.start(await commandAs(as, [python, script("lab.py")]));
    labs.add(process);
    const lab = new Lab(process);
    await lab.do("close_all", "");
    return lab;
  }

  /** One request; a refusal is an answer too. */
  async ask(request: Readonly<Record<string, unknown>>): Promise<Answer> {
    return (await this.#conversation.ask(request)) as Answer;
  }

  /** One request that has to be done. */
  async do(verb: string, name: string, details: object = {}): Promise<Answer> {
    const answer = await this.ask({ do: verb, name, ...details });
    if (!answer.done) throw new Error(`${verb} ${name}: ${answer.errno ?? "refused"}`);
    return answer;
  }

  async open(
    name: string,
    kind: Kind,
    address: string,
    port: number,
    options: OpenOptions = {},
  ): Promise<Opened> {
    const answer = await this.do("open", name, { kind, address, port, ...options });
    return answer as unknown as Opened;
  }

  async look(name: string, options: object = {}): Promise<Seen> {
    return (await this.do("look", name, options)) as unknown as Seen;
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }
}
