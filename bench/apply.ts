/**
 * What a change of the rules costs, as its user meets it: whole commands with NDJSON files, each a
 * process of its own, and changes over the socket of `ilm run`. And what a client notices of a
 * reload.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseMappingArgument } from "../src/config/argument.js";
import { requestChange } from "../src/api/client.js";
import { kernelMemory } from "./memory.js";
import { median, progress } from "./network.js";
import { Site, families, ilm, startTraffic, traffic } from "./sites.js";

/**
 * Each is done so often, unless that would take longer than so long: what takes long varies little.
 */
const REPEATS = 5;
const REPEATS_MS = 10_000;
const LATENCY_ROUNDS = 3;
const LATENCY_ROUNDS_MS = 60_000;
/** Between two connections of the client. */
const INTERVAL_US = 500;
/** How long the client dials where nothing has an end of its own. */
const LATENCY_MS = 8000;
/** After `ilm run` has said that it is ready. */
const SETTLE_MS = 3000;
/** Added one right after the other over the socket. */
const IN_A_ROW = 100;
/** Added and removed with a pause before each, in which the one before it settles. */
const APART = 25;
const APART_MS = 40;

const own = "127.0.1.10";

export interface ApplyColumn {
  readonly mappings: number;
  /** Seconds, of whole commands. */
  readonly allNew: number;
  readonly same: number;
  readonly oneChanged: number;
  readonly oneAdded: number;
  readonly oneRemoved: number;
  readonly status: number;
  /** The same for a Node.js that does nothing, measured in turns with the additions. */
  readonly node: number;
  /** MiB. */
  readonly tables: number;
  readonly registry: number;
  readonly peak: number;
  readonly resident: number;
  /**
   * Milliseconds, over the socket of `ilm run`: of one by itself, and of all, one right after the
   * other.
   */
  readonly addition: number;
  readonly removal: number;
  readonly additionsInARow: number;
}

export interface LatencyRow {
  readonly when: string;
  /** Microseconds that connect() took, medians of the rounds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly connections: number;
  /** Median of the rounds' ratios to the quiet one. */
  readonly ratio: number;
}

/** `turn` decides where the first of the mappings leads, and nothing else. */
function writeRules(folder: string, size: number, turn: 0 | 1): string {
  const file = join(folder, `${size}-${turn}.ndjson`);
  const head = {
    version: 1,
    services: { web: { address: own }, other: { address: "127.0.1.11" } },
  };
  const lines = Array.from({ length: size }, (_, i) => {
    const on = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
    const to = i === 0 && turn === 1 ? "other:8080" : "web:8080";
    return `{"port":8443,"on":"${on}","to":"${to}"}`;
  });
  // What the client of the latency measurement dials.
  const port = JSON.stringify({ port: 80, to: "web:8080" });
  writeFileSync(file, `${[JSON.stringify(head), port, ...lines].join("\n")}\n`);
  return file;
}

/**
 * Results of up to `times` rounds: at least one, and no further one when those so far have taken
 * `budgetMs`.
 */
export async function rounds<Result>(
  times: number,
  budgetMs: number,
  work: () => Result | Promise<Result>,
): Promise<Result[]> {
  const start = performance.now();
  const results: Result[] = [];
  do results.push(await work());
  while (results.length < times && performance.now() - start < budgetMs);
  return results;
}

export interface Ran {
  readonly seconds: number;
  readonly peak_kib: number;
}

/** Runs a command to its end. */
export function timed(...command: readonly string[]): Ran {
  const output = execFileSync(traffic, ["run", ...command], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return JSON.parse(output) as Ran;
}

class Commands {
  readonly #netns: string;

  constructor(site: Site) {
    this.#netns = `/run/netns/${site.server}`;
  }

  /** Runs `ilm` to its end. */
  run(...words: readonly string[]): Ran {
    return timed(ilm, ...words, "--netns", this.#netns);
  }

  get netns(): string {
    return this.#netns;
  }
}

type BesideDaemon = Pick<ApplyColumn, "resident" | "addition" | "removal" | "additionsInARow">;

/** Each a connection of its own. */
async function changesOver(netnsInode: number): Promise<Omit<BesideDaemon, "resident">> {
  const timed = async (change: Parameters<typeof requestChange>[1]): Promise<number> => {
    const start = performance.now();
    await requestChange(netnsInode, change);
    return performance.now() - start;
  };
  const add = async (port: number): Promise<number> => {
    const mappings = parseMappingArgument(`tcp:${port}=${own}:8080`, []);
    return await timed({ kind: "add", mappings, replace: false });
  };
  const additions: number[] = [];
  const removals: number[] = [];
  for (let i = 0; i < APART; i++) {
    await sleep(APART_MS);
    additions.push(await add(9000 + i));
    await sleep(APART_MS);
    removals.push(await timed({ kind: "remove", names: [`tcp:${9000 + i}`] }));
  }
  const start = performance.now();
  for (let i = 0; i < IN_A_ROW; i++) await add(9000 + i);
  return {
    addition: median(additions),
    removal: median(removals),
    additionsInARow: performance.now() - start,
  };
}

/**
 * `ilm run` with the rules, which are already active: what it takes at rest, and changes over its
 * socket.
 */
async function besideDaemon(netns: string, file: string): Promise<BesideDaemon> {
  const daemon = spawn(ilm, ["run", "-f", file, "--netns", netns], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  const ready = new Promise<void>((resolve, reject) => {
    daemon.stderr.on("data", (data: Buffer) => {
      said += data.toString();
      if (/\bready\b/.test(said)) resolve();
    });
    daemon.once("exit", () => {
      reject(new Error(`ilm run ended: ${said}`));
    });
  });
  try {
    await ready;
    await sleep(SETTLE_MS);
    const status = readFileSync(`/proc/${daemon.pid ?? 0}/status`, "utf8");
    const resident = Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1]) / 1024;
    return { resident, ...(await changesOver(statSync(netns).ino)) };
  } finally {
    if (daemon.exitCode === null) {
      daemon.kill("SIGTERM");
      await once(daemon, "exit");
    }
  }
}

/** Two files that differ in one mapping, and which of them is active. */
interface Files {
  readonly paths: readonly [string, string];
  turn: 0 | 1;
}

function otherFile(files: Files): string {
  files.turn = files.turn === 0 ? 1 : 0;
  return files.paths[files.turn];
}

async function measureSize(site: Site, files: Files, size: number): Promise<ApplyColumn> {
  const commands = new Commands(site);
  const medianOf = async (work: () => number): Promise<number> =>
    median(await rounds(REPEATS, REPEATS_MS, work));
  const peaks: number[] = [];
  const allNew = await medianOf(() => {
    commands.run("unload");
    const { seconds, peak_kib } = commands.run("apply", "-f", files.paths[files.turn]);
    peaks.push(peak_kib / 1024);
    return seconds;
  });
  progress(`${size} mappings: all new in ${allNew.toFixed(2)} s`);
  const { tables, registry } = kernelMemory(statSync(commands.netns).ino);
  const same = await medianOf(() => commands.run("apply", "-f", files.paths[files.turn]).seconds);
  const oneChanged = await medianOf(() => commands.run("apply", "-f", otherFile(files)).seconds);
  progress(`${size} mappings: one changed in ${oneChanged.toFixed(2)} s`);
  const removals: number[] = [];
  const idle: number[] = [];
  const oneAdded = await medianOf(() => {
    const { seconds } = commands.run("add", `tcp:9000=${own}:8080`);
    removals.push(commands.run("remove", "tcp:9000").seconds);
    idle.push(timed(process.execPath, "-e", "0").seconds);
    return seconds;
  });
  progress(`${size} mappings: one added in ${oneAdded.toFixed(2)} s`);
  const status = await medianOf(() => commands.run("status").seconds);
  const beside = await besideDaemon(commands.netns, files.paths[files.turn]);
  return {
    mappings: size,
    allNew,
    same,
    oneChanged,
    oneAdded,
    oneRemoved: median(removals),
    status,
    node: median(idle),
    tables,
    registry,
    peak: median(peaks),
    ...beside,
  };
}

interface Latency {
  readonly made: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** A client that dials all the while, in a process and a namespace of its own. */
async function latencyDuring(site: Site, work: () => Promise<void>): Promise<Latency> {
  const words = ["latency", families.IPv4.server, "80", String(INTERVAL_US)];
  const client = await startTraffic(site.client, ...words);
  let output = "";
  client.stdout?.on("data", (data: Buffer) => {
    output += data.toString();
  });
  await work();
  client.kill("SIGTERM");
  await once(client, "close");
  const result = JSON.parse(output) as Latency;
  if (result.failed > 0) throw new Error(`${result.failed} connections failed`);
  return result;
}

/** Uses a CPU and touches nothing else. */
async function compute(): Promise<void> {
  const busy = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
  await sleep(LATENCY_MS);
  busy.kill("SIGKILL");
  await once(busy, "exit");
}

/** Without blocking this process: the client is read meanwhile. */
async function reload(site: Site, file: string): Promise<void> {
  const words = ["apply", "-f", file, "--netns", `/run/netns/${site.server}`];
  const child = spawn(ilm, words, { stdio: ["ignore", "ignore", "inherit"] });
  const [status] = (await once(child, "exit")) as [number | null];
  if (status !== 0) throw new Error("the reload failed");
}

/** With the files' mappings active, and replaced. */
async function measureLatency(site: Site, files: Files): Promise<LatencyRow[]> {
  const kinds: readonly (readonly [string, () => Promise<void>])[] = [
    ["nothing else happens", async () => await sleep(LATENCY_MS)],
    ["another process computes", compute],
    ["a reload", async () => await reload(site, otherFile(files))],
  ];
  let count = 0;
  const results = await rounds(LATENCY_ROUNDS, LATENCY_ROUNDS_MS, async () => {
    const round: Latency[] = [];
    for (const [, work] of kinds) round.push(await latencyDuring(site, work));
    progress(`connect() during a reload: round ${(count += 1)}`);
    return round;
  });
  return kinds.map(([when], i) => {
    const each = (pick: (mine: Latency, quiet: Latency) => number): number =>
      median(
        results.map((round) => {
          const [quiet] = round;
          const mine = round[i];
          if (mine === undefined || quiet === undefined) throw new Error("a round is not whole");
          return pick(mine, quiet);
        }),
      );
    return {
      when,
      p50: each(({ p50 }) => p50),
      p99: each(({ p99 }) => p99),
      max: Math.max(...results.map((round) => round[i]?.max ?? 0)),
      connections: results.reduce((sum, round) => sum + (round[i]?.made ?? 0), 0),
      ratio: each((mine, quiet) => mine.p99 / quiet.p99),
    };
  });
}

/** The latency is that of a reload of the last size. */
export async function measureApply(
  sizes: readonly number[],
): Promise<{ columns: ApplyColumn[]; latency: LatencyRow[] }> {
  const folder = mkdtempSync(join(tmpdir(), "ilm-bench-"));
  const site = new Site("a");
  try {
    await site.daemon("serve", own, "8080");
    const columns: ApplyColumn[] = [];
    let last: Files | undefined;
    for (const size of sizes) {
      last = { paths: [writeRules(folder, size, 0), writeRules(folder, size, 1)], turn: 0 };
      columns.push(await measureSize(site, last, size));
    }
    return { columns, latency: last === undefined ? [] : await measureLatency(site, last) };
  } finally {
    site.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}
