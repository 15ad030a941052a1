/** A daemon that does with its sockets what a test tells it; see python/lab.py. */
import { afterEach, beforeEach } from "vitest";
import type { Namespace } from "./namespace.js";
import type { Network } from "./network.js";
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
  )[];
  /** SO_BINDTODEVICE */
  readonly device?: string;
  /** What clients are told; default: the socket's name. */
  readonly tag?: string;
  /** A SO_REUSEPORT group's own program: always this member. */
  readonly selector?: number;
  readonly listen?: boolean;
  /** Who closes first keeps the remains of the connection (TIME_WAIT); default: the daemon. */
  readonly closes?: "first" | "last";
  /** Bytes that it reads of a connection before it answers. */
  readonly reads?: number;
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

const labs = new Set<Background>();

/** Ends every lab, with what it forked. */
export async function stopLabs(): Promise<void> {
  await Promise.all([...labs].map(async (process) => await process.stop()));
  labs.clear();
}

/** A lab at the server for each test of the file, gone after it. */
export function useLab(network: Network, take: (lab: Lab) => void): void {
  beforeEach(async () => {
    take(await Lab.start(network.server));
  });

  afterEach(async () => {
    await stopLabs();
  });
}

export class Lab {
  readonly process: Background;
  #read = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(process: Background) {
    this.process = process;
  }

  static async start(namespace: Namespace): Promise<Lab> {
    const process = namespace.startPython("lab.py", []);
    labs.add(process);
    await process.waitForOutput(/ready\n/);
    const lab = new Lab(process);
    lab.#read = process.stdout.length;
    return lab;
  }

  /** One request; a refusal is an answer too. */
  async ask(request: Readonly<Record<string, unknown>>): Promise<Answer> {
    const answer = this.#last.then(async () => {
      this.process.write(`${JSON.stringify(request)}\n`);
      const end = await this.process.waitFor((self) => {
        const position = self.stdout.indexOf("\n", this.#read);
        return position === -1 ? null : position;
      });
      const line = this.process.stdout.slice(this.#read, end);
      this.#read = end + 1;
      return JSON.parse(line) as Answer;
    });
    this.#last = answer.catch(() => undefined);
    return await answer;
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
  ): Promise<{ port: number; cookie: string }> {
    const answer = await this.do("open", name, { kind, address, port, ...options });
    return answer as unknown as { port: number; cookie: string };
  }

  async look(name: string, options: object = {}): Promise<Seen> {
    return (await this.do("look", name, options)) as unknown as Seen;
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }
}
