/**
 * For how long no dial is answered when another program removes what is ours, and `ilm run` puts it
 * back: under load.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadSummary } from "../test/support/client.js";
import { tamperings } from "../test/support/tamperings.js";
import { progress } from "./network.js";
import { Site, ilm, root, startInside } from "./sites.js";

const ROUNDS = 3;
const protocols = ["tcp", "udp"] as const;
const QUIET_MS = 300;
/** What a dial waits for an answer: less than the daemon's looks are apart. */
const TIMEOUT_S = 0.1;
const GIVEN_UP_MS = 10_000;

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
`;

const daemon = `
import json, socket, threading
tag = json.dumps({"tag": "app"}).encode()
tcp = socket.create_server(("127.0.1.10", 6000), backlog=100)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.1.10", 6000))
def datagrams():
    while True:
        _, peer = udp.recvfrom(2048)
        try:
            udp.sendto(tag, peer)
        except OSError as error:
            print(error, flush=True)
threading.Thread(target=datagrams, daemon=True).start()
while True:
    connection, _ = tcp.accept()
    connection.sendall(tag)
    connection.close()
`;

export interface TakenAwayRow {
  readonly what: string;
  /** The longest of the rounds, in milliseconds; 0: no dial failed. */
  readonly tcp: number;
  readonly udp: number;
}

/**
 * Each thing is taken away several times, in turns with the others: what is taken away again and
 * again is put back with pauses.
 */
export async function measureTakenAway(): Promise<TakenAwayRow[]> {
  const site = new Site("t");
  const folder = mkdtempSync(join(tmpdir(), "ilm-bench-"));
  const gaps = tamperings.map(() => ({ tcp: [] as number[], udp: [] as number[] }));
  try {
    const file = join(folder, "rules.yaml");
    writeFileSync(file, rules);
    site.start("python3", "-c", daemon);
    for (let round = 0; round < ROUNDS; round++) {
      // A new one each time: it has nothing to be patient about.
      const run = startInside(site.server, [ilm, "run", "-f", file]);
      const log = new Log(run);
      try {
        await log.says(/ready:/);
        for (const [index, { what, how }] of tamperings.entries()) {
          progress(`round ${round + 1} of ${ROUNDS}: ${what}`);
          const found = await tamper(site, log, how);
          for (const protocol of protocols) gaps[index]?.[protocol].push(found[protocol]);
        }
      } finally {
        run.kill("SIGTERM");
        if (run.exitCode === null) await once(run, "exit");
      }
    }
    return tamperings.map(({ what }, index) => ({
      what,
      tcp: Math.max(...(gaps[index]?.tcp ?? [])),
      udp: Math.max(...(gaps[index]?.udp ?? [])),
    }));
  } finally {
    site.remove();
    rmSync(folder, { recursive: true });
  }
}

async function tamper(
  site: Site,
  log: Log,
  how: string,
): Promise<Readonly<Record<"tcp" | "udp", number>>> {
  const loads = await Promise.all(
    protocols.map(async (protocol) => await Load.start(site, protocol)),
  );
  await sleep(QUIET_MS);
  const before = log.length;
  const pins = `/sys/fs/bpf/ilm/${statSync(`/run/netns/${site.server}`).ino}`;
  const script = `PINS=${pins}; set -e; ${how}`;
  execFileSync("nsenter", [`--net=/run/netns/${site.server}`, "sh", "-c", script]);
  await log.says(/put back|was added to lo/, before);
  await sleep(QUIET_MS);
  const [tcp = Number.NaN, udp = Number.NaN] = await Promise.all(
    loads.map(async (load) => await load.end()),
  );
  return { tcp, udp };
}

/** What a process writes to its standard error. */
class Log {
  #text = "";

  constructor(process: ChildProcess) {
    process.stderr?.on("data", (data: Buffer) => {
      this.#text += data.toString();
    });
  }

  get length(): number {
    return this.#text.length;
  }

  async says(wanted: RegExp, from = 0): Promise<void> {
    const deadline = performance.now() + GIVEN_UP_MS;
    while (!wanted.test(this.#text.slice(from))) {
      if (performance.now() > deadline) {
        throw new Error(`the log does not say ${wanted.source}:\n${this.#text}`);
      }
      await sleep(5);
    }
  }
}

class Load {
  readonly #process: ChildProcess;
  #said = "";

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.stdout?.on("data", (data: Buffer) => {
      this.#said += data.toString();
    });
  }

  static async start(site: Site, protocol: string): Promise<Load> {
    const script = join(root, "test", "support", "python", "load.py");
    const words = ["203.0.113.1", "6000", "1", String(TIMEOUT_S)];
    const child = spawn(
      "nsenter",
      [`--net=/run/netns/${site.client}`, "python3", script, protocol, ...words],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const load = new Load(child);
    while (!load.#said.includes("dialling")) await once(child.stdout, "data");
    return load;
  }

  /** For how long no dial was answered, in milliseconds. */
  async end(): Promise<number> {
    this.#process.stdin?.end();
    await once(this.#process, "exit");
    const [, summary = ""] = this.#said.trim().split("\n");
    const { gap_ms, ended_failing, answered } = JSON.parse(summary) as LoadSummary;
    if (ended_failing || answered["app"] === undefined) {
      throw new Error(`still failing: ${summary}`);
    }
    return gap_ms;
  }
}
