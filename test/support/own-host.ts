/**
 * A namespace as a host of its own: its process 1 is in that network namespace, and its /run/ilm is
 * empty. So `ilm run` serves the stable name there, whatever works on the machine.
 */
import type { Namespace } from "./namespace.js";
import { ilmCommand } from "./paths.js";
import type { Background, RunOptions, RunResult } from "./process.js";

const start =
  "mkdir -p /run/ilm && mount -t tmpfs -o mode=0755 none /run/ilm && echo ready && exec sleep infinity";

export class OwnHost {
  readonly #namespace: Namespace;
  readonly #process: Background;

  private constructor(namespace: Namespace, process: Background) {
    this.#namespace = namespace;
    this.#process = process;
  }

  /** It ends with whatever else tests have started in the namespace. */
  static async start(namespace: Namespace): Promise<OwnHost> {
    const unshare = "unshare --mount --pid --fork --kill-child --mount-proc".split(" ");
    const process = namespace.start([...unshare, "sh", "-c", start]);
    await process.waitForOutput(/^ready$/m);
    return new OwnHost(namespace, process);
  }

  #inside(command: readonly string[]): readonly string[] {
    const spaces = `/proc/${this.#process.pid}/ns`;
    return [
      "nsenter",
      `--mount=${spaces}/mnt`,
      `--pid=${spaces}/pid_for_children`,
      "--",
      ...command,
    ];
  }

  async run(command: readonly string[], options?: RunOptions): Promise<RunResult> {
    return await this.#namespace.run(this.#inside(command), options);
  }

  async must(command: readonly string[], options?: RunOptions): Promise<string> {
    return await this.#namespace.must(this.#inside(command), options);
  }

  start(command: readonly string[]): Background {
    return this.#namespace.start(this.#inside(command));
  }

  /** Starts `ilm run`, and waits until it is ready. */
  async startRun(args: readonly string[]): Promise<Background> {
    const daemon = this.start([ilmCommand, "run", ...args]);
    await daemon.waitForOutput(/ready: network namespace/);
    return daemon;
  }
}
