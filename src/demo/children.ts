/**
 * Runs the demo's child processes: daemons in the server's namespace, one client in the client's.
 */
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

import { IlmError } from "../errors.js";
import { endProcess } from "./commands.js";
import {
  isDaemonMessage,
  isDialReply,
  type DialReply,
  type DialRequest,
  type DialResult,
} from "./messages.js";

/**
 * Starts a module of the demo in a namespace. nsenter becomes node by exec, so the child's pid is
 * node's.
 */
function forkIn(netns: string, module: string, argv: readonly string[]): ChildProcess {
  return fork(fileURLToPath(new URL(`../demo/${module}`, import.meta.url)), [...argv], {
    execPath: "nsenter",
    execArgv: [`--net=${netns}`, process.execPath],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    // The child gets a process group of its own; otherwise, Ctrl-C would end the daemons before the
    // demo has said goodbye.
    detached: true,
  });
}

/** A module of the demo that runs as a daemon. */
export interface DaemonChild {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The getsockname() of each of its sockets. */
  readonly at: readonly string[];
}

/**
 * Starts a module of the demo as a daemon in a namespace, and resolves when all its sockets are
 * bound. Throws INTERNAL when it does not start.
 */
export async function startDaemon(
  netns: string,
  module: string,
  [name, ...argv]: readonly [string, ...string[]],
): Promise<DaemonChild> {
  const child = forkIn(netns, module, [name, ...argv]);
  const answer = await new Promise<readonly string[] | string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code) => resolve(`it ended with status ${code}`));
    child.once("message", (message) => {
      if (!isDaemonMessage(message)) resolve("it spoke nonsense");
      else resolve(message.kind === "failed" ? message.message : message.at);
    });
  });
  if (typeof answer !== "string" && child.pid !== undefined) {
    return { child, pid: child.pid, at: answer };
  }
  await endProcess(child);
  throw new IlmError("INTERNAL", `the sample daemon ${name} did not start: ${String(answer)}`);
}

export type DaemonStyle = "http" | "banner" | "echo";

export class SampleDaemon {
  readonly name: string;
  readonly endpoints: readonly string[];
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(
    name: string,
    endpoints: readonly string[],
    child: ChildProcess,
    pid: number,
  ) {
    this.name = name;
    this.endpoints = endpoints;
    this.#child = child;
    this.pid = pid;
  }

  /**
   * Starts a sample daemon and resolves when all its sockets are bound. Throws INTERNAL when it
   * does not start.
   * @param endpoints each as `tcp:127.0.1.10:80` or `udp:[fd5e:ed00::53]:53`
   */
  static async start(
    netns: string,
    name: string,
    style: DaemonStyle,
    endpoints: readonly string[],
  ): Promise<SampleDaemon> {
    const { child, pid } = await startDaemon(netns, "sample-daemon.js", [
      name,
      style,
      ...endpoints,
    ]);
    return new SampleDaemon(name, endpoints, child, pid);
  }

  async stop(): Promise<void> {
    await endProcess(this.#child);
  }
}

export class SampleClient {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: DialReply) => void>();
  #lastId = 0;

  constructor(netns: string) {
    this.#child = forkIn(netns, "sample-client.js", []);
    this.#child.on("message", (reply) => {
      if (isDialReply(reply)) this.#waiting.get(reply.id)?.(reply);
    });
    this.#child.on("error", (error) => this.#giveUp(error.message));
    this.#child.on("exit", () => this.#giveUp("the demo's client ended"));
  }

  async dial(protocol: "tcp" | "udp", address: string, port: number): Promise<DialResult> {
    this.#lastId += 1;
    const request: DialRequest = { id: this.#lastId, protocol, address, port };
    const reply = await new Promise<DialReply>((resolve) => {
      this.#waiting.set(request.id, resolve);
      if (this.#child.connected) this.#child.send(request);
      else this.#giveUp("the demo's client is gone");
    });
    this.#waiting.delete(request.id);
    return reply.result;
  }

  async stop(): Promise<void> {
    await endProcess(this.#child);
  }

  #giveUp(reason: string): void {
    for (const [id, resolve] of this.#waiting) {
      resolve({ id, result: { outcome: "failed", reason } });
    }
  }
}
