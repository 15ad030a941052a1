/**
 * `ilm demo`: shows everything in network namespaces of its own, with sample daemons, and checks
 * each step. It does not touch the host's own network namespace, and leaves nothing behind.
 */
import { fileURLToPath } from "node:url";

import { IlmError } from "../errors.js";
import { SampleClient, SampleDaemon } from "./children.js";
import { startStock, type StockName, type StockServer } from "./stock.js";
import { ilm, RunningIlm } from "./commands.js";
import {
  abandonedNetworks,
  createNetwork,
  networkOf,
  publicAddresses,
  removeNetwork,
  type DemoNetwork,
} from "./network.js";
import { silentReporter, textReporter, type Reporter } from "./render.js";
import { daemons, type DaemonName } from "./dials.js";
import { Scenario, type Outcome } from "./scenario.js";

export interface DemoOptions {
  /** True to stay until Ctrl-C when the show is over. */
  readonly keep: boolean;
  /** Receives the outcome, and no story is told; null to tell the story. */
  readonly report: ((report: Report) => void) | null;
  readonly color: boolean;
}

export interface Report extends Outcome {
  readonly ok: boolean;
}

const configuration = fileURLToPath(new URL("../../../examples/demo.yaml", import.meta.url));
const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type EndingSignal = (typeof endingSignals)[number];

/** Holds everything that the demo must clean up, however it ends. */
class Resources {
  readonly network: DemoNetwork;
  readonly #running = new Set<SampleDaemon | StockServer>();
  #client: SampleClient | null = null;
  #run: RunningIlm | null = null;
  #cleared = false;

  constructor(network: DemoNetwork) {
    this.network = network;
  }

  openClient(): SampleClient {
    this.#client = new SampleClient(this.network.clientPath);
    return this.#client;
  }

  async start(name: DaemonName): Promise<SampleDaemon> {
    if (this.#cleared) throw new IlmError("INTERNAL", "the demo is over");
    const { style, endpoints } = daemons[name];
    return this.#keep(await SampleDaemon.start(this.network.serverPath, name, style, endpoints));
  }

  async startStock(name: StockName): Promise<StockServer> {
    if (this.#cleared) throw new IlmError("INTERNAL", "the demo is over");
    return this.#keep(await startStock(this.network, name));
  }

  async #keep<D extends SampleDaemon | StockServer>(daemon: D): Promise<D> {
    // The demo was interrupted while the daemon started, and no other process would stop it.
    if (this.#cleared) await daemon.stop();
    else this.#running.add(daemon);
    return daemon;
  }

  /** Starts `ilm run`, which takes over the active rules. Returns what it logged. */
  async follow(color: boolean): Promise<string> {
    if (this.#cleared) throw new IlmError("INTERNAL", "the demo is over");
    const running = await RunningIlm.start(this.network.serverPath, color);
    if (this.#cleared) await running.stop();
    else this.#run = running;
    return running.log;
  }

  async stop(daemon: SampleDaemon): Promise<void> {
    this.#running.delete(daemon);
    await daemon.stop();
  }

  async clear(): Promise<void> {
    this.#cleared = true;
    await this.#client?.stop();
    for (const daemon of this.#running) await daemon.stop();
    await this.#run?.stop();
    await clearNetwork(this.network);
  }
}

/** Unloads ilm, then removes the network: what is pinned for a namespace outlives it. */
async function clearNetwork(network: DemoNetwork): Promise<void> {
  await ilm(["--netns", network.serverPath, "unload"], false);
  await removeNetwork(network);
}

/** Waits for SIGINT, SIGTERM or SIGHUP; `dispose` restores their default handling. */
function watchSignals(): { readonly ended: Promise<EndingSignal>; readonly dispose: () => void } {
  const listeners: (() => void)[] = [];
  const ended = new Promise<EndingSignal>((resolve) => {
    for (const signal of endingSignals) {
      const listener = (): void => resolve(signal);
      process.on(signal, listener);
      listeners.push(() => process.off(signal, listener));
    }
  });
  return { ended, dispose: () => listeners.forEach((remove) => remove()) };
}

function introduce(reporter: Reporter, network: DemoNetwork): void {
  const { client4, client6, ...servers } = publicAddresses;
  reporter.title("ilm demo: two network namespaces of its own; this host's is not touched");
  reporter.say(`client ${client4}, ${client6}   (${network.client})`);
  reporter.say(`server ${Object.values(servers).join(", ")}   (${network.server})`);
}

function invite(reporter: Reporter, { serverPath, clientPath }: DemoNetwork): void {
  const { client4, server4, server6, shop6 } = publicAddresses;
  reporter.act("Over to you; Ctrl-C ends it");
  for (const line of [
    `nsenter --net=${clientPath} curl http://${server4}/`,
    `nsenter --net=${clientPath} curl 'http://[${server6}]/'`,
    `nsenter --net=${clientPath} curl 'http://[${shop6}]/'`,
    `nsenter --net=${clientPath} bash -c 'cat < /dev/tcp/${server4}/2222'`,
    `bin/ilm --netns ${serverPath} monitor`,
    `bin/ilm --netns ${serverPath} listeners`,
    `bin/ilm --netns ${serverPath} explain udp ${server4}:53 --from ${client4}:40000`,
    `bin/ilm --netns ${serverPath} add tcp:2200=127.0.1.22:22`,
  ]) {
    reporter.say(line);
  }
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new IlmError(
    "NOT_PERMITTED",
    "the demo needs root: it makes network namespaces and loads BPF programs",
    {
      remedy: "Run `make run`, which uses sudo, or `sudo ilm demo`.",
    },
  );
}

function write(text: string): void {
  process.stdout.write(text);
}

/** Reports the outcome. Throws FINDINGS when something was not as it should be. */
function conclude(
  { dials, servers, problems }: Outcome,
  reporter: Reporter,
  report: DemoOptions["report"],
): void {
  if (report !== null) report({ ok: problems.length === 0, dials, servers, problems });
  else reporter.verdict(problems, dials.length);
  if (problems.length === 0) return;
  const count = problems.length;
  throw new IlmError(
    "FINDINGS",
    `${count} ${count === 1 ? "thing was" : "things were"} not as the demo expects; the first: ${problems[0]}`,
    { remedy: "Run `ilm doctor`; see docs/troubleshooting.md." },
  );
}

/**
 * Runs the demo. Throws FINDINGS when something did not go as it should, NOT_PERMITTED without
 * root, and SYSCALL when the namespaces cannot be created. A demo that is interrupted cleans up and
 * then ends by the signal it got.
 */
export async function runDemo(options: DemoOptions): Promise<void> {
  requireRoot();
  const reporter = options.report === null ? textReporter(options.color, write) : silentReporter;
  const resources = new Resources(networkOf(process.pid));
  const signals = watchSignals();
  let interruption: EndingSignal | undefined;
  try {
    const result = await Promise.race([signals.ended, play(options, reporter, resources)]);
    if (typeof result === "string") {
      interruption = result;
    } else {
      conclude(result, reporter, options.report);
      if (options.keep) {
        invite(reporter, resources.network);
        await signals.ended;
      }
    }
  } finally {
    await resources.clear();
    signals.dispose();
  }
  if (interruption !== undefined) process.kill(process.pid, interruption);
}

async function play(
  { keep, color }: DemoOptions,
  reporter: Reporter,
  resources: Resources,
): Promise<Outcome> {
  const { network } = resources;
  for (const abandoned of await abandonedNetworks()) await clearNetwork(abandoned);
  await createNetwork(network);
  introduce(reporter, network);
  const scenario = new Scenario({
    network,
    reporter,
    color,
    client: resources.openClient(),
    start: (name) => resources.start(name),
    startStock: (name) => resources.startStock(name),
    stop: (daemon) => resources.stop(daemon),
    follow: () => resources.follow(color),
  });
  const outcome = await scenario.play(configuration);
  return keep ? outcome : scenario.unload();
}
