/** The client's namespace: what the outside dials with. */
import { endpoint, type Protocol } from "./matrix.js";
import { Namespace } from "./namespace.js";
import type { Background } from "./process.js";

export interface LoadSummary {
  /** How many dials each daemon answered. */
  readonly answered: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
  /** For how long no dial was answered, at the longest. */
  readonly gap_ms: number;
  /** The last dial failed. */
  readonly ended_failing: boolean;
}

export class Load {
  readonly #process: Background;

  constructor(process: Background) {
    this.#process = process;
  }

  /**
   * Does something while no dial is begun: what a daemon leaves unread when it closes would be lost
   * in any case.
   */
  async paused(action: () => Promise<void>): Promise<void> {
    this.#process.signal("SIGSTOP");
    try {
      await action();
    } finally {
      this.#process.signal("SIGCONT");
    }
  }

  /** Ends the load. */
  async stop(): Promise<LoadSummary> {
    this.#process.closeInput();
    const result = await this.#process.exited;
    const [, summary] = result.stdout.trim().split("\n");
    if (summary === undefined) {
      throw new Error(`the load printed no summary\n${result.stdout}${result.stderr}`);
    }
    return JSON.parse(summary) as LoadSummary;
  }
}

export class Client extends Namespace {
  static async make(): Promise<Client> {
    return new Client(await Namespace.add("client"));
  }

  /**
   * To dial from a network namespace that another program made; `file` is one of the kernel's links
   * to it.
   */
  static async adopt(file: string): Promise<Client> {
    return new Client(await Namespace.nameFor("container", file));
  }

  /** Dials one connection after the other until stopped, with a pause between them. */
  async load(
    protocol: Protocol | "http",
    address: string,
    port: number,
    pause_ms = 0,
    timeout_s = 30,
  ): Promise<Load> {
    const args = [protocol, address, String(port), String(pause_ms), String(timeout_s)];
    const process = this.startPython("load.py", args);
    await process.waitForOutput(/dialling/);
    return new Load(process);
  }

  async curl(address: string, port: number, ...options: readonly string[]): Promise<string> {
    return await this.must([
      "curl",
      "-sS",
      "--max-time",
      "30",
      ...options,
      `http://${endpoint(address, port)}/`,
    ]);
  }
}
