/**
 * UDP: request and reply, direct, mapped (handed over at ingress, and through a socket map), by nftables DNAT, and through a
 * proxy. Each way has namespaces of its own (so the connection tracking that DNAT brings slows only DNAT), all ways take turns
 * in each of many short rounds, and the best round of each is compared: whatever else the machine does only takes away.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROUNDS = 25;
const SECONDS = 0.3;
/** Requests on their way at once: enough that neither end sleeps between them. */
const WINDOW = 16;

const root = join(fileURLToPath(import.meta.url), "..", "..", "..");
const traffic = join(root, "dist", "bench", "traffic");
/** What kernels before 6.6 do; the product has no such choice where the kernel has tcx. */
const withoutTcx = join(root, "dist", "test", "support", "without-tcx.js");

const families = {
  IPv4: { server: "203.0.113.1", client: "203.0.113.2", length: 24, daemon: "127.0.1.10" },
  IPv6: { server: "2001:db8::1", client: "2001:db8::2", length: 64, daemon: "fd5e:ed00::10" },
} as const;
type FamilyName = keyof typeof families;

const ways = [
  "direct",
  "mapped",
  "mapped, through a socket map",
  "mapped to another port",
  "nftables DNAT",
  "proxy",
] as const;
type Way = (typeof ways)[number];

export interface UdpRow {
  readonly family: FamilyName;
  readonly way: Way;
  /** Requests with their reply, per second. */
  readonly perSecond: number;
  /** CPU time of client, daemon and proxy together, per request with its reply. */
  readonly cpuMicroseconds: number;
  /** To direct. */
  readonly ratio: number;
  readonly cpuRatio: number;
}

interface Site {
  readonly way: Way;
  readonly family: FamilyName;
  readonly server: string;
  readonly client: string;
  /** Daemon, and proxy. */
  readonly processes: readonly ChildProcess[];
}

interface Measured {
  readonly perSecond: number;
  readonly cpu: number;
}

function ip(...args: readonly string[]): void {
  execFileSync("ip", args);
}

function inside(namespace: string, command: readonly string[]): readonly [string, string[]] {
  return ["nsenter", [`--net=/run/netns/${namespace}`, ...command]];
}

async function start(namespace: string, ...args: readonly string[]): Promise<ChildProcess> {
  const [program, words] = inside(namespace, [traffic, ...args]);
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
  await once(child.stderr, "data");
  return child;
}

/** CPU time that a process has used so far, in microseconds. */
function cpuOf(child: ChildProcess): number {
  const text = readFileSync(`/proc/${child.pid ?? 0}/schedstat`, "utf8");
  return Number(text.split(" ")[0]) / 1000;
}

/** What is compared is what is said to be. */
function requireHandover(server: string, wanted: string): void {
  const words = ["listeners", "--json", "--netns", `/run/netns/${server}`];
  const shown = execFileSync(join(root, "bin", "ilm"), words, { encoding: "utf8" });
  const found = (JSON.parse(shown) as { readonly handover: string }[]).map((row) => row.handover);
  if (found.join() !== wanted) throw new Error(`handed over by ${found.join()}, not ${wanted}`);
}

async function make(way: Way, family: FamilyName, folder: string): Promise<Site> {
  const { server: address, client: other, length, daemon } = families[family];
  const id = `ilm-bench-${process.pid}-${family.slice(3)}${ways.indexOf(way)}`;
  const server = `${id}s`;
  const client = `${id}c`;
  for (const name of [server, client]) {
    ip("netns", "add", name);
    ip("-n", name, "link", "set", "lo", "up");
  }
  ip("link", "add", "up0", "netns", server, "type", "veth", "peer", "name", "up0", "netns", client);
  for (const [name, own] of [
    [server, address],
    [client, other],
  ] as const) {
    const nodad = family === "IPv6" ? ["nodad"] : [];
    ip("-n", name, "addr", "add", `${own}/${length}`, "dev", "up0", ...nodad);
    ip("-n", name, "link", "set", "up0", "up");
  }
  const processes: ChildProcess[] = [];
  switch (way) {
    case "direct":
      processes.push(await start(server, "echo", address, "5000"));
      break;
    case "mapped":
    case "mapped, through a socket map":
    case "mapped to another port": {
      const file = join(folder, `${id}.json`);
      const port = way === "mapped to another port" ? 6000 : 5000;
      const rules = {
        version: 1,
        services: { app: { address: daemon } },
        mappings: [{ protocol: "udp", port: 5000, to: `app:${port}` }],
      };
      writeFileSync(file, JSON.stringify(rules));
      const apply = (): void => {
        const [program, words] =
          way === "mapped, through a socket map"
            ? inside(server, [process.execPath, withoutTcx, "apply", file])
            : [join(root, "bin", "ilm"), ["apply", "-f", file, "--netns", `/run/netns/${server}`]];
        execFileSync(program, words);
      };
      apply();
      processes.push(await start(server, "echo", daemon, String(port)));
      // A socket map has whom a scan found; at ingress it makes no difference.
      apply();
      requireHandover(server, way === "mapped, through a socket map" ? "sockmap" : "ingress");
      break;
    }
    case "nftables DNAT": {
      // An address that DNAT can lead to: the kernel routes nothing from outside to 127.0.0.0/8.
      const inner = family === "IPv4" ? "10.9.8.10" : "fd5e:ed00::10";
      const brackets = family === "IPv4" ? inner : `[${inner}]`;
      ip("-n", server, "addr", "add", inner, "dev", "lo");
      const rules = `table ${family === "IPv4" ? "ip" : "ip6"} nat { chain pre { type nat hook prerouting priority dstnat; udp dport 5000 dnat to ${brackets}:5000; }; }`;
      const [program, words] = inside(server, ["nft", rules]);
      execFileSync(program, words);
      processes.push(await start(server, "echo", inner, "5000"));
      break;
    }
    case "proxy": {
      const inner = family === "IPv4" ? daemon : "::1";
      processes.push(
        await start(server, "echo", inner, "5001"),
        await start(server, "proxy", address, "5000", inner, "5001"),
      );
      break;
    }
  }
  return { way, family, server, client, processes };
}

function remove(site: Site): void {
  for (const child of site.processes) child.kill("SIGKILL");
  if (site.way.startsWith("mapped")) {
    execFileSync(join(root, "bin", "ilm"), ["unload", "--netns", `/run/netns/${site.server}`]);
  }
  for (const name of [site.client, site.server]) ip("netns", "delete", name);
}

function measure(site: Site): Measured {
  const { server } = families[site.family];
  const before = site.processes.reduce((sum, child) => sum + cpuOf(child), 0);
  const words = [traffic, "client", server, "5000", String(SECONDS), String(WINDOW)];
  const [program, args] = inside(site.client, words);
  const result = JSON.parse(execFileSync(program, args, { encoding: "utf8" })) as {
    replies: number;
    seconds: number;
    cpu_us: number;
  };
  const after = site.processes.reduce((sum, child) => sum + cpuOf(child), 0);
  return {
    perSecond: result.replies / result.seconds,
    cpu: (result.cpu_us + after - before) / result.replies,
  };
}

export async function measureUdp(): Promise<UdpRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "ilm-bench-"));
  const sites: Site[] = [];
  try {
    for (const family of Object.keys(families) as FamilyName[]) {
      for (const way of ways) sites.push(await make(way, family, folder));
    }
    for (const site of sites) measure(site);
    const rounds = Array.from({ length: ROUNDS }, () => sites.map(measure));
    const best = sites.map((_, index) => ({
      perSecond: Math.max(...rounds.map((round) => round[index]?.perSecond ?? 0)),
      cpu: Math.min(...rounds.map((round) => round[index]?.cpu ?? Infinity)),
    }));
    return sites.map(({ way, family }, index) => {
      const direct = sites.findIndex((site) => site.family === family && site.way === "direct");
      const { perSecond, cpu } = best[index] ?? { perSecond: 0, cpu: 0 };
      const base = best[direct] ?? { perSecond: 1, cpu: 1 };
      return {
        family,
        way,
        perSecond,
        cpuMicroseconds: cpu,
        ratio: perSecond / base.perSecond,
        cpuRatio: cpu / base.cpu,
      };
    });
  } finally {
    for (const site of sites) remove(site);
    rmSync(folder, { recursive: true, force: true });
  }
}
