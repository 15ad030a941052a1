/** Daemons that answer with their tag; see python/echo.py. */
import { Conversation } from "./conversation.js";
import type { Protocol } from "./matrix.js";
import type { Background } from "./process.js";

export interface EchoOptions {
  readonly v6only?: boolean;
  readonly reuseport?: boolean;
}

/** A process that listens and answers. */
export interface Echo {
  readonly pid: number;
  /** Socket cookies, decimal, in the order of what was asked for. */
  readonly cookies: readonly string[];
  /** Ends it at once. */
  stop(): Promise<void>;
  /** Lets it answer what has come already, and end. */
  drain(): Promise<void>;
}

/** Where to listen: protocol, address, port. */
export type Listen = readonly [Protocol, string, number];

/**
 * Forks daemons off a process that stays in a namespace: a daemon costs milliseconds, not the start
 * of an interpreter.
 */
export class Echoes {
  readonly #conversation: Conversation;
  readonly #alive = new Set<number>();

  /** `start` starts python/echo.py where the daemons are to listen. */
  constructor(start: () => Background) {
    this.#conversation = new Conversation(start);
  }

  /** One that listens. */
  async start(tag: string, listen: readonly Listen[], options: EchoOptions): Promise<Echo> {
    const { pid, cookies } = (await this.#ask({
      do: "start",
      tag,
      listen,
      v6only: options.v6only ?? false,
      reuseport: options.reuseport ?? false,
    })) as { readonly pid: number; readonly cookies: readonly string[] };
    this.#alive.add(pid);
    return {
      pid,
      cookies,
      stop: async () => await this.#end(pid, "SIGKILL"),
      drain: async () => await this.#end(pid, "SIGTERM"),
    };
  }

  async stopAll(): Promise<void> {
    for (const pid of this.#alive) await this.#end(pid, "SIGKILL");
  }

  /** Ends the process that they come from too. */
  async stop(): Promise<void> {
    await this.stopAll();
    await this.#conversation.stop();
  }

  async #end(pid: number, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (!this.#alive.delete(pid)) return;
    await this.#ask({ do: "end", pid, signal });
  }

  async #ask(request: {
    readonly do: string;
    readonly [detail: string]: unknown;
  }): Promise<object> {
    const answer = (await this.#conversation.ask(request)) as object;
    if ("error" in answer) throw new Error(`${JSON.stringify(request)}: ${String(answer.error)}`);
    return answer;
  }
}
