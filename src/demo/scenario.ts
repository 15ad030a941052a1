/** Defines what the demo shows, act by act, and what it expects of each dial. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { IlmError } from "../errors.js";
import { ilm } from "./commands.js";
import type { SampleClient, SampleDaemon } from "./children.js";
import { endpoint, type DialResult } from "./messages.js";
import { publicAddresses, type DemoNetwork } from "./network.js";
import type { DaemonName, Dial, ServerName } from "./dials.js";
import type { Reporter } from "./render.js";
import type { StockName, StockServer } from "./stock.js";

/** What the acts work with. `demo.ts` creates it and cleans it up. */
export interface Stage {
  readonly network: DemoNetwork;
  readonly client: SampleClient;
  readonly reporter: Reporter;
  readonly color: boolean;
  /** Starts one of `daemons` in the server's namespace. */
  readonly start: (name: DaemonName) => Promise<SampleDaemon>;
  /** Starts a server that listens on every address in the server's namespace. */
  readonly startStock: (name: StockName) => Promise<StockServer>;
  readonly stop: (daemon: SampleDaemon) => Promise<void>;
  /** Starts `ilm run` in the background. Returns what it logged until it was ready. */
  readonly follow: () => Promise<string>;
}

const udpPatience_ms = 1000;
const everyAddress = "[::]:80";

interface Expected {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  /** The daemon that must answer; null when the kernel must refuse. */
  readonly daemon: ServerName | null;
  readonly why: string;
}

export interface Outcome {
  readonly dials: readonly Dial[];
  /** The stock servers that shared a port. */
  readonly servers: readonly Omit<StockServer, "stop">[];
  /** Lists everything that is not as it should be, one sentence each. */
  readonly problems: readonly string[];
}

/** Says what is wrong with a dial's result, or returns null. */
export function judge(expected: Expected, result: DialResult): string | null {
  const dialled = endpoint(expected.address, expected.port);
  if (expected.daemon === null) {
    return result.outcome === "refused" ? null : "expected: refused at once";
  }
  if (result.outcome !== "answered") return `expected: an answer of ${expected.daemon}`;
  const { answer, from } = result;
  if (answer.daemon !== expected.daemon) return `expected: an answer of ${expected.daemon}`;
  const client = expected.address.includes(":")
    ? `[${publicAddresses.client6}]:`
    : `${publicAddresses.client4}:`;
  if (!answer.client.startsWith(client)) return `expected: the daemon sees the client, ${client}*`;
  if (answer.dialled !== null && answer.dialled !== dialled) {
    return `expected: the daemon sees that ${dialled} was dialled`;
  }
  return from === dialled ? null : `expected: the reply comes from ${dialled}`;
}

/** The lines of these services in a configuration that has each as a block. */
export function linesOfServices(text: string, names: readonly string[]): string[] {
  let isShown = false;
  return text.split("\n").filter((line) => {
    const name = /^ {2}([\w-]+):/.exec(line)?.[1];
    if (name !== undefined) isShown = names.includes(name);
    else if (!line.startsWith("    ")) isShown = false;
    return isShown;
  });
}

export class Scenario {
  readonly #stage: Stage;
  readonly #dials: Dial[] = [];
  readonly #servers: Omit<StockServer, "stop">[] = [];
  readonly #problems: string[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Plays every act but the last. An act that fails counts as a problem and ends the play. */
  async play(configuration: string): Promise<Outcome> {
    await this.#unlessBroken(async () => {
      const ssh = await this.#actBefore();
      await this.#actApply(configuration);
      await this.#actFollow();
      await this.#actExisting();
      await this.#actDown(ssh);
      await this.#actStock(configuration);
      await this.#actAsk();
    });
    return this.#outcome();
  }

  /** Plays the last act, which unloads ilm. */
  async unload(): Promise<Outcome> {
    await this.#unlessBroken(async () => {
      this.#stage.reporter.act("unload takes everything away again");
      await this.#ilm("unload");
      await this.#dial({
        protocol: "tcp",
        address: publicAddresses.server4,
        port: 80,
        daemon: null,
        why: "the kernel is as it was before",
      });
    });
    return this.#outcome();
  }

  #outcome(): Outcome {
    return { dials: this.#dials, servers: this.#servers, problems: this.#problems };
  }

  async #unlessBroken(acts: () => Promise<void>): Promise<void> {
    try {
      await acts();
    } catch (error) {
      if (!(error instanceof IlmError)) throw error;
      this.#problems.push(error.message);
    }
  }

  async #actBefore(): Promise<SampleDaemon> {
    const { reporter } = this.#stage;
    reporter.act("A daemon listens on a private address, and no client can reach it from outside");
    const ssh = await this.#start("ssh");
    await this.#dial({
      protocol: "tcp",
      address: publicAddresses.server4,
      port: 2222,
      daemon: null,
      why: "nothing is loaded yet, and nothing listens on port 2222",
    });
    return ssh;
  }

  async #actApply(configuration: string): Promise<void> {
    const { server4, server6 } = publicAddresses;
    this.#stage.reporter.act("The configuration is applied; from now on the kernel decides");
    await this.#ilm("apply", "-f", configuration);
    await this.#start("web");
    await this.#dial(
      ...[server4, server6].map((address): Expected => ({
        protocol: "tcp",
        address,
        port: 80,
        daemon: "web",
        why: "port 80 is mapped to web; nothing is translated, both sides see what was dialled",
      })),
      {
        protocol: "tcp",
        address: server4,
        port: 2222,
        daemon: "ssh",
        why: "port 2222 is mapped to ssh:22, whose listener was there before ilm was",
      },
      {
        protocol: "tcp",
        address: server6,
        port: 2222,
        daemon: null,
        why: "ssh has no IPv6 address, so nothing listens there, and the kernel says so",
      },
    );
  }

  async #actFollow(): Promise<void> {
    const { network, reporter, follow } = this.#stage;
    const { server4, server6 } = publicAddresses;
    reporter.act("ilm run stays: it follows the file, and the host; and now a UDP daemon");
    const log = await follow();
    reporter.command(`ilm --netns ${network.serverPath} run &`, log);
    await this.#start("dns");
    await this.#dial(
      ...(["udp", "tcp"] as const).flatMap((protocol) =>
        [server4, server6].map((address): Expected => ({
          protocol,
          address,
          port: 53,
          daemon: "dns",
          why:
            protocol === "tcp"
              ? "port 53 is mapped to dns, for both protocols"
              : "the datagram reaches the daemon, and its reply leaves from the address that was dialled",
        })),
      ),
    );
  }

  async #actExisting(): Promise<void> {
    const { server4, secondServer4 } = publicAddresses;
    this.#stage.reporter.act("Who already listens on the very address keeps it");
    await this.#start("admin");
    await this.#dial(
      {
        protocol: "tcp",
        address: server4,
        port: 8080,
        daemon: "admin",
        why: "port 8080 is mapped to web:80, but admin listens on exactly this address",
      },
      {
        protocol: "tcp",
        address: secondServer4,
        port: 8080,
        daemon: "web",
        why: "nothing listens on this one, so the mapping decides",
      },
    );
  }

  async #actDown(ssh: SampleDaemon): Promise<void> {
    const { server4 } = publicAddresses;
    this.#stage.reporter.act("A daemon goes down and comes back");
    await this.#stop(ssh);
    await this.#dial({
      protocol: "tcp",
      address: server4,
      port: 2222,
      daemon: null,
      why: "ssh is down: the kernel refuses, as for any port without a listener",
    });
    await this.#start("ssh");
    await this.#dial({
      protocol: "tcp",
      address: server4,
      port: 2222,
      daemon: "ssh",
      why: "the kernel registered the new listener inside its own listen() call",
    });
  }

  async #actStock(configuration: string): Promise<void> {
    const { reporter } = this.#stage;
    const { server4, server6, shop4, shop6, blog4, blog6 } = publicAddresses;
    reporter.act("Two web servers that both want port 80 on every address share it");
    const text = readFileSync(configuration, "utf8");
    for (const line of linesOfServices(text, ["shop", "blog"])) reporter.say(line);
    await this.#startStock("shop");
    await this.#startStock("blog");
    const dialled = [
      [shop4, "shop"],
      [shop6, "shop"],
      [blog4, "blog"],
      [blog6, "blog"],
      [server4, "web"],
      [server6, "web"],
    ] as const;
    await this.#dial(
      ...dialled.map(([address, daemon]): Expected => ({
        protocol: "tcp",
        address,
        port: 80,
        daemon,
        why:
          daemon === "web"
            ? "on the other addresses port 80 is still web's"
            : `${daemon} asked for every address, got its service's, and this is published for it`,
      })),
    );
    await this.#ilm("listeners");
  }

  async #actAsk(): Promise<void> {
    const { client4, server4, secondServer4 } = publicAddresses;
    this.#stage.reporter.act("What ilm knows");
    await this.#ilm("mappings");
    const from = ["--from", `${client4}:40000`];
    await this.#ilm("explain", "tcp", endpoint(server4, 8080), ...from);
    await this.#ilm("explain", "tcp", endpoint(secondServer4, 8080), ...from);
  }

  /**
   * Runs ilm as a user would, and shows it. Throws FINDINGS when it fails; otherwise, the remaining
   * acts would fail one by one and hide the reason.
   */
  async #ilm(command: string, ...argv: string[]): Promise<void> {
    const { network, reporter, color } = this.#stage;
    const words = ["--netns", network.serverPath, command, ...argv];
    const { status, stdout, stderr } = await ilm(words, color);
    reporter.command(`ilm ${words.join(" ")}`, `${stdout}${stderr}`);
    if (status === 0) return;
    throw new IlmError("FINDINGS", `ilm ${command} failed with status ${status}: ${stderr.trim()}`);
  }

  async #start(name: DaemonName): Promise<SampleDaemon> {
    const daemon = await this.#stage.start(name);
    this.#stage.reporter.say(
      `${name} (pid ${daemon.pid}) listens on ${daemon.endpoints.join(", ")}`,
    );
    return daemon;
  }

  /** What it takes for its address is every address, though it has its service's alone. */
  async #startStock(name: StockName): Promise<void> {
    const { stop: _stop, ...server } = await this.#stage.startStock(name);
    this.#servers.push(server);
    const { program, pid, uid, asked, told } = server;
    this.#stage.reporter.say(
      `${name} (pid ${pid}) is ${program}, run by user ${uid} without privileges: ${asked}` +
        (told === null ? "" : `; it takes its address for ${told}`),
    );
    if (told !== null && told !== everyAddress) {
      this.#problems.push(`${name} listens on ${told}, where it asked for ${everyAddress}`);
    }
  }

  async #stop(daemon: SampleDaemon): Promise<void> {
    await this.#stage.stop(daemon);
    this.#stage.reporter.say(`${daemon.name} (pid ${daemon.pid}) is stopped`);
  }

  async #dial(...expectations: readonly Expected[]): Promise<void> {
    const dials: Dial[] = [];
    for (const expected of expectations) {
      const { protocol, address, port, daemon, why } = expected;
      const result = await this.#dialOnce(expected);
      const problem = judge(expected, result);
      const dialled = endpoint(address, port);
      dials.push({ protocol, dialled, expected: daemon ?? "refused", why, result, problem });
      if (problem !== null) this.#problems.push(`${protocol} ${dialled}: ${problem}`);
    }
    this.#dials.push(...dials);
    this.#stage.reporter.dials(dials);
  }

  /**
   * Dials once; repeats a refused UDP dial for a while. On kernels without tcx (before 6.6) `run`
   * finds a UDP socket only a moment after its bind().
   */
  async #dialOnce({ protocol, address, port, daemon }: Expected): Promise<DialResult> {
    const { client } = this.#stage;
    const patience = protocol === "udp" && daemon !== null ? udpPatience_ms : 0;
    const until = performance.now() + patience;
    let result = await client.dial(protocol, address, port);
    while (result.outcome === "refused" && performance.now() < until) {
      await sleep(20);
      result = await client.dial(protocol, address, port);
    }
    return result;
  }
}
