/**
 * TCP: new connections, and bulk data, direct, mapped, by nftables DNAT, and through two proxies
 * from packages. Each way has namespaces of its own (so the connection tracking that DNAT brings
 * slows only DNAT), all ways take turns in each of many short rounds, and what is told is the
 * median of the rounds, ratios being those to the direct way in the same round.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { progress } from "./network.js";
import { Site, families, runInside, runTraffic } from "./sites.js";
import { type Compared, type Measured, compare, takeTurns } from "./turns.js";

const ROUNDS = 31;
const SECONDS = 0.3;
/** Connections on their way at once: enough that neither end sleeps between them. */
const WINDOW = 16;
/** How long a proxy may take until it serves. */
const START_MS = 10_000;
const GIB = 2 ** 30;

const { server: dialled } = families.IPv4;
/**
 * The daemon's own address; DNAT needs one outside of 127.0.0.0/8, where the kernel routes nothing
 * from outside.
 */
const own = "127.0.1.10";
const routable = "10.9.8.10";

const ways = [
  "direct",
  "direct, beside mappings of another port",
  "mapped",
  "nftables DNAT",
  "HAProxy, TCP mode",
  "systemd-socket-proxyd",
] as const;
type Way = (typeof ways)[number];

export interface TcpRow extends Compared {
  readonly way: Way;
}

/** Connections, each with a request and a reply, per second; CPU time of one. */
function measureConnections(site: Site): Measured {
  const before = site.cpu();
  const words = ["connect", dialled, "80", String(SECONDS), String(WINDOW)];
  const result = runTraffic(site.client, ...words) as {
    made: number;
    failed: number;
    seconds: number;
    cpu_us: number;
  };
  if (result.failed > 0 || result.made === 0) {
    throw new Error(`${result.failed} connections failed, and ${result.made} did not`);
  }
  const cpu = result.cpu_us + site.cpu() - before;
  return { value: result.made / result.seconds, cpu: cpu / result.made };
}

/** What one connection receives: GiB per second; CPU time of one GiB. */
function measureBulk(site: Site): Measured {
  const before = site.cpu();
  const result = runTraffic(site.client, "bulk", dialled, "80", String(SECONDS)) as {
    bytes: number;
    seconds: number;
    cpu_us: number;
  };
  const cpu = result.cpu_us + site.cpu() - before;
  const gib = result.bytes / GIB;
  return { value: gib / result.seconds, cpu: cpu / gib };
}

function writeRules(folder: string): string {
  return writeMappings(folder, "mapped.json", { port: 80, to: "app:8080" });
}

/** With them everything of ours is attached, and nothing of it has to do with what is dialled. */
function writeOtherRules(folder: string): string {
  const mapping = { protocol: ["tcp", "udp"], port: 81, to: "app:8080" };
  return writeMappings(folder, "others.json", mapping);
}

function writeMappings(folder: string, name: string, mapping: object): string {
  const file = join(folder, name);
  const rules = { version: 1, services: { app: { address: own } }, mappings: [mapping] };
  writeFileSync(file, JSON.stringify(rules));
  return file;
}

/** As small as HAProxy's can be: its own defaults for everything else, threads too. */
function writeHaproxyConfiguration(folder: string): string {
  const file = join(folder, "haproxy.cfg");
  const text = `global
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen bench
  bind ${dialled}:80
  server app ${own}:8080
`;
  writeFileSync(file, text);
  return file;
}

/** Where Debian has it depends on whether /lib is a link. */
function socketProxyd(): string {
  const paths = ["/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd"];
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) throw new Error("systemd-socket-proxyd is not installed");
  return found;
}

async function prepare(way: Way, site: Site, folder: string): Promise<void> {
  switch (way) {
    case "direct":
      await site.daemon("serve", dialled, "80");
      return;
    case "direct, beside mappings of another port":
      site.apply(writeOtherRules(folder));
      await site.daemon("serve", dialled, "80");
      return;
    case "mapped":
      site.apply(writeRules(folder));
      await site.daemon("serve", own, "8080");
      return;
    case "nftables DNAT": {
      runInside(site.server, ["ip", "addr", "add", routable, "dev", "lo"]);
      site.redirect("tcp", "80", `${routable}:8080`);
      await site.daemon("serve", routable, "8080");
      return;
    }
    case "HAProxy, TCP mode":
      await site.daemon("serve", own, "8080");
      site.start("haproxy", "-db", "-f", writeHaproxyConfiguration(folder));
      return;
    case "systemd-socket-proxyd":
      await site.daemon("serve", own, "8080");
      site.start("systemd-socket-activate", "-l", `${dialled}:80`, socketProxyd(), `${own}:8080`);
      return;
  }
}

/** Until the way serves. Throws what the last try said when it never does. */
async function warmUp(site: Site): Promise<void> {
  const end = performance.now() + START_MS;
  for (;;) {
    try {
      measureConnections(site);
      measureBulk(site);
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(100);
    }
  }
}

function rowsOf(rounds: readonly (readonly Measured[])[]): TcpRow[] {
  const compared = compare(rounds, () => ways.indexOf("direct"));
  return ways.flatMap((way, i) => {
    const row = compared[i];
    return row === undefined ? [] : [{ way, ...row }];
  });
}

/** `connections`: values per second; `bulk`: GiB per second, CPU time per GiB. */
export async function measureTcp(): Promise<{ connections: TcpRow[]; bulk: TcpRow[] }> {
  const folder = mkdtempSync(join(tmpdir(), "ilm-bench-"));
  const sites: Site[] = [];
  try {
    for (const way of ways) {
      const site = new Site(`t${ways.indexOf(way)}`);
      sites.push(site);
      await prepare(way, site, folder);
    }
    for (const site of sites) await warmUp(site);
    const connections = takeTurns(ROUNDS, sites, measureConnections);
    progress("new connections: done");
    const bulk = takeTurns(ROUNDS, sites, measureBulk);
    return { connections: rowsOf(connections), bulk: rowsOf(bulk) };
  } finally {
    for (const site of sites) site.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}
