/**
 * A namespace as a host that has tools of others: they run in mount, process and cgroup namespaces
 * of their own, over /usr and /etc with what tools/unpack-hosts.sh unpacked, and a /var of their
 * own, so that the machine has none of it. Their network is the namespace's.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCgroup } from "./cgroup.js";
import { Client } from "./client.js";
import type { Namespace } from "./namespace.js";
import { hostScript, hostsTree } from "./paths.js";
import { type Background, eventually } from "./process.js";

export class Host {
  readonly #process: Background;
  readonly #namespace: Namespace;

  private constructor(process: Background, namespace: Namespace) {
    this.#process = process;
    this.#namespace = namespace;
  }

  /**
   * Starts tools by their script in test/support/hosts, with its arguments; they stay until the
   * namespace's processes are stopped.
   */
  static async start(namespace: Namespace, tools: readonly [string, ...string[]]): Promise<Host> {
    const path = `${namespace.name}-host`;
    const inner = await makeCgroup(`${path}/inner`);
    const outer = await makeCgroup(`${path}/outer`);
    const [name, ...args] = tools;
    const unshare = "unshare --cgroup --mount --pid --ipc --uts --fork --kill-child --mount-proc";
    const process = namespace.start([
      "sh",
      "-c",
      `echo $$ >${inner}/cgroup.procs; exec ${unshare} sh "$0" "$@"`,
      hostScript("enter"),
      hostsTree,
      hostScript(name),
      ...args,
    ]);
    // When it has a child it is done; and it is at the top of the cgroup namespace, where it cannot
    // be seen from inside.
    await eventually("the tools' namespaces are made", () =>
      readFileSync(join(inner, "cgroup.procs"), "utf8").split("\n").length > 2 ? true : null,
    );
    writeFileSync(join(outer, "cgroup.procs"), String(process.pid));
    process.write("go\n");
    await process.waitForOutput(/^ready$/m);
    return new Host(process, namespace);
  }

  /** Runs a shell command among the tools, which has to succeed. */
  async must(command: string): Promise<string> {
    const spaces = `/proc/${this.#process.pid}/ns`;
    return await this.#namespace.must([
      "nsenter",
      `--mount=${spaces}/mnt`,
      `--pid=${spaces}/pid_for_children`,
      `--ipc=${spaces}/ipc`,
      `--uts=${spaces}/uts`,
      "sh",
      "-c",
      command,
    ]);
  }

  /** Ends the tools. */
  async stop(): Promise<void> {
    await this.#process.stop();
  }

  /**
   * The network namespace of a process, by the number that it has among the tools, as a place to
   * dial from.
   */
  async client(pid: string): Promise<Client> {
    return await Client.adopt(`/proc/${this.#process.pid}/root/proc/${pid.trim()}/ns/net`);
  }
}
