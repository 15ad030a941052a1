/**
 * What watching costs those who are watched: new TCP connections, and UDP requests with replies,
 * while monitors run and metrics are scraped, beside processes that only use as much CPU. Each way
 * has namespaces of its own. What a round compares is measured right after each other, in turns.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { median, progress } from "./network.js";
import { Site, cpuOf, families, ilm, runTraffic, traffic } from "./sites.js";
import { medianInterval, takeTurns } from "./turns.js";

const ROUNDS = 31;
const SECONDS = 0.25;
const WINDOW = 16;
/** Far more often than Prometheus does. */
const SCRAPE_MS = 100;
/** How long a watcher may take until it watches. */
const START_MS = 3_000;

const { server: dialled } = families.IPv4;
const daemon = "127.0.1.10";
const protocols = ["TCP", "UDP"] as const;
type Protocol = (typeof protocols)[number];

interface Way {
  readonly name: string;
  /** The options of each `ilm monitor`. */
  readonly monitors: readonly (readonly string[])[];
  /** True when `ilm run` serves metrics, which are scraped. */
  readonly scraped: boolean;
}

const ways: readonly Way[] = [
  { name: "nothing watches", monitors: [], scraped: false },
  { name: "`ilm monitor`", monitors: [[]], scraped: false },
  {
    name: "`ilm monitor --port 81`, which nobody dials",
    monitors: [["--port", "81"]],
    scraped: false,
  },
  { name: "`ilm monitor --sample 100`", monitors: [["--sample", "100"]], scraped: false },
  { name: "two `ilm monitor`, one with `--json`", monitors: [[], ["--json"]], scraped: false },
  { name: "`/metrics` of `ilm run`, 10 times a second", monitors: [], scraped: true },
  { name: "both of the last two", monitors: [[], ["--json"]], scraped: true },
];

export interface WatchingRow {
  readonly protocol: Protocol;
  readonly way: string;
  /** Connections, or requests, per second. */
  readonly value: number;
  /** Of a CPU, that the watchers used. */
  readonly share: number;
  /** To what was reached beside processes that use as much CPU: the median of rounds. */
  readonly ratio: number;
  readonly interval: readonly [number, number];
  /** The same ratio of the CPU time of client and daemon for one of them. */
  readonly cpuRatio: number;
}

interface Measured {
  readonly rate: number;
  /** CPU time of client and daemon for one connection or request, in microseconds. */
  readonly cpu: number;
}

interface Entry {
  readonly site: Site;
  readonly daemons: readonly ChildProcess[];
  readonly watchers: readonly ChildProcess[];
  readonly protocol: Protocol;
  /** What the watchers used last, of a CPU. */
  share: number;
}

const scraper = `
const { get } = require("node:http");
const [socketPath] = process.argv.slice(1);
setInterval(() => {
  get({ socketPath, path: "/metrics" }, (response) => response.resume());
}, ${SCRAPE_MS});
`;

function writeRules(folder: string): string {
  const file = join(folder, "rules.json");
  const mappings = [
    { name: "web", port: 80, to: "app:8080" },
    { name: "names", protocol: "udp", port: 5000, to: "app:5000" },
  ];
  const services = { app: { address: daemon, handover: "ingress" } };
  writeFileSync(file, JSON.stringify({ version: 1, services, mappings }));
  return file;
}

/** Their output goes nowhere, as fast as it comes. */
function start(command: string, args: readonly string[]): ChildProcess {
  return spawn(command, args, { stdio: ["ignore", "ignore", "ignore"] });
}

async function watch(
  site: Site,
  { monitors, scraped }: Way,
  rules: string,
): Promise<ChildProcess[]> {
  const netns = `/run/netns/${site.server}`;
  const watchers = monitors.map((options) => start(ilm, ["monitor", ...options, "--netns", netns]));
  if (scraped) watchers.push(start(ilm, ["run", "-f", rules, "--netns", netns]));
  site.processes.push(...watchers);
  await sleep(START_MS);
  if (scraped) {
    const inode = execFileSync("stat", ["-Lc", "%i", netns], { encoding: "utf8" }).trim();
    const asking = start(process.execPath, ["-e", scraper, `/run/ilm/${inode}.sock`]);
    watchers.push(asking);
    site.processes.push(asking);
    await sleep(START_MS);
  }
  const dead = watchers.filter(({ exitCode }) => exitCode !== null);
  if (dead.length > 0) throw new Error(`${dead.length} watchers have ended`);
  return watchers;
}

function used(processes: readonly ChildProcess[]): number {
  return processes.reduce((sum, child) => sum + cpuOf(child), 0);
}

/** Connections, or requests with replies. */
function measure({ site, daemons, protocol }: Entry): Measured {
  const before = used(daemons);
  const [mode, port] = protocol === "TCP" ? ["connect", "80"] : ["client", "5000"];
  const words = [mode, dialled, port, String(SECONDS), String(WINDOW)] as const;
  const result = runTraffic(site.client, ...words) as {
    made?: number;
    replies?: number;
    failed?: number;
    seconds: number;
    cpu_us: number;
  };
  const done = result.made ?? result.replies ?? 0;
  if (done === 0 || (result.failed ?? 0) > 0) throw new Error(JSON.stringify(result));
  const cpu = (result.cpu_us + used(daemons) - before) / done;
  return { rate: done / result.seconds, cpu };
}

interface Turn {
  readonly watched: Measured;
  readonly spun: Measured;
  readonly share: number;
}

/** What is measured while the watchers watch, and their share of a CPU. */
function whileWatched(entry: Entry): { watched: Measured; share: number } {
  const [begun, before] = [performance.now(), used(entry.watchers)];
  const watched = measure(entry);
  // Microseconds of CPU in milliseconds.
  const share = (used(entry.watchers) - before) / 1000 / (performance.now() - begun);
  return { watched, share };
}

/** The same where nothing watches, beside as many processes that use that share. */
function besideSpinners(entry: Entry, unwatched: Entry, share: number): Measured {
  const count = entry.watchers.length;
  const spinners = entry.watchers.map(() => start(traffic, ["spin", String(share / count)]));
  try {
    return measure({ ...unwatched, protocol: entry.protocol });
  } finally {
    for (const spinner of spinners) spinner.kill("SIGKILL");
  }
}

function takeTurn(entry: Entry, unwatched: Entry, round: number): Turn {
  const early = round % 2 === 0 ? undefined : besideSpinners(entry, unwatched, entry.share);
  const { watched, share } = whileWatched(entry);
  entry.share = share;
  return { watched, share, spun: early ?? besideSpinners(entry, unwatched, share) };
}

/** Values per second; ratios to the rate beside as much CPU that is used for nothing. */
export async function measureWatching(): Promise<WatchingRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "ilm-bench-"));
  const sites: Site[] = [];
  const entries: Entry[] = [];
  try {
    const rules = writeRules(folder);
    for (const [index, way] of ways.entries()) {
      const site = new Site(`w${index}`);
      sites.push(site);
      site.apply(rules);
      await site.daemon("serve", daemon, "8080");
      await site.daemon("echo", daemon, "5000");
      const daemons = [...site.processes];
      const watchers = await watch(site, way, rules);
      for (const protocol of protocols) {
        entries.push({ site, daemons, watchers, protocol, share: 0 });
      }
    }
    const [unwatched] = entries;
    if (unwatched === undefined) throw new Error("there is no site");
    for (const entry of entries) entry.share = whileWatched(entry).share;
    progress("watchers watch");
    let turns = 0;
    const rounds = takeTurns(ROUNDS, entries, (entry) => {
      turns += 1;
      return takeTurn(entry, unwatched, Math.floor(turns / entries.length));
    });
    return entries.map(({ protocol }, index) => {
      const own = rounds.flatMap((round) => round[index] ?? []);
      const ratios = own.map(({ watched, spun }) => watched.rate / spun.rate);
      return {
        protocol,
        way: ways[Math.floor(index / protocols.length)]?.name ?? "",
        value: median(own.map(({ watched }) => watched.rate)),
        share: median(own.map(({ share }) => share)),
        ratio: median(ratios),
        interval: medianInterval(ratios),
        cpuRatio: median(own.map(({ watched, spun }) => watched.cpu / spun.cpu)),
      };
    });
  } finally {
    for (const site of sites) site.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}
