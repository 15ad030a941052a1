/**
 * Two network namespaces joined by veth, and the processes in them: where clients and daemons of a
 * measurement live.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(fileURLToPath(import.meta.url), "..", "..", "..");
export const ilm = join(root, "bin", "ilm");
/** bench/traffic.c */
export const traffic = join(root, "dist", "bench", "traffic");

export function ip(...args: readonly string[]): void {
  execFileSync("ip", args);
}

/** Runs a command in a namespace to its end and returns what it printed. */
export function runInside(namespace: string, command: readonly string[]): string {
  const words = [`--net=/run/netns/${namespace}`, ...command];
  return execFileSync("nsenter", words, { encoding: "utf8", maxBuffer: 1 << 26 });
}

/** Starts a command in a namespace. */
export function startInside(
  namespace: string,
  command: readonly string[],
  stderr: "pipe" | "inherit" = "pipe",
): ChildProcess {
  const words = [`--net=/run/netns/${namespace}`, ...command];
  return spawn("nsenter", words, { stdio: ["ignore", "pipe", stderr] });
}

/** Starts bench/traffic.c in a namespace and waits until it is ready. */
export async function startTraffic(
  namespace: string,
  ...args: readonly string[]
): Promise<ChildProcess> {
  const child = startInside(namespace, [traffic, ...args]);
  if (child.stderr === null) throw new Error("traffic has no stderr");
  const [said] = (await once(child.stderr, "data")) as [Buffer];
  if (!said.toString().startsWith("ready")) {
    throw new Error(`traffic ${args[0]}: ${said.toString()}`);
  }
  return child;
}

/** One run of bench/traffic.c in a namespace, and the JSON that it prints. */
export function runTraffic(namespace: string, ...args: readonly string[]): unknown {
  return JSON.parse(runInside(namespace, [traffic, ...args]));
}

/** CPU time that a process and all its threads have used so far, in microseconds. */
export function cpuOf(child: ChildProcess): number {
  const folder = `/proc/${child.pid ?? 0}/task`;
  return readdirSync(folder).reduce((sum, thread) => {
    const [ran] = readFileSync(`${folder}/${thread}/schedstat`, "utf8").split(" ");
    return sum + Number(ran) / 1000;
  }, 0);
}

export interface SiteAddresses {
  readonly server: string;
  readonly client: string;
  readonly length: number;
}

export const families = {
  IPv4: { server: "203.0.113.1", client: "203.0.113.2", length: 24 },
  IPv6: { server: "2001:db8::1", client: "2001:db8::2", length: 64 },
} as const satisfies Record<string, SiteAddresses>;
export type FamilyName = keyof typeof families;

/** A server's namespace and a client's. */
export class Site {
  readonly server: string;
  readonly client: string;
  /** Daemon, and proxy: what is counted to the way's cost, and killed at the end. */
  readonly processes: ChildProcess[] = [];

  /** `id` is short, and this process's only one of that name. */
  constructor(id: string, family: FamilyName = "IPv4") {
    const name = `ilm-bench-${process.pid}-${id}`;
    this.server = `${name}s`;
    this.client = `${name}c`;
    const { server, client, length } = families[family];
    for (const namespace of [this.server, this.client]) {
      ip("netns", "add", namespace);
      ip("-n", namespace, "link", "set", "lo", "up");
      // As many ports as there are: a benchmark uses up the usual 28,000 in seconds, and a proxy
      // needs as many again.
      const ports = "/proc/sys/net/ipv4/ip_local_port_range";
      runInside(namespace, ["sh", "-c", `echo 1024 65535 >${ports}`]);
    }
    const end = (namespace: string): string[] => ["name", "up0", "netns", namespace];
    ip("link", "add", ...end(this.server), "type", "veth", "peer", ...end(this.client));
    for (const [namespace, own] of [
      [this.server, server],
      [this.client, client],
    ] as const) {
      const nodad = family === "IPv6" ? ["nodad"] : [];
      ip("-n", namespace, "addr", "add", `${own}/${length}`, "dev", "up0", ...nodad);
      ip("-n", namespace, "link", "set", "up0", "up");
    }
  }

  /** Activates rules at the server. */
  apply(file: string): void {
    execFileSync(ilm, ["apply", "-f", file, "--netns", `/run/netns/${this.server}`]);
  }

  /** By nftables DNAT, which brings connection tracking to the server's namespace. */
  redirect(protocol: "tcp" | "udp", port: string, to: string): void {
    const table = `${to.startsWith("[") ? "ip6" : "ip"} nat`;
    const hook = "type nat hook prerouting priority dstnat";
    const rule = `${protocol} dport ${port} dnat to ${to}`;
    runInside(this.server, ["nft", `table ${table} { chain pre { ${hook}; ${rule}; }; }`]);
  }

  /** bench/traffic.c as the daemon, or as a proxy. */
  async daemon(...args: readonly string[]): Promise<void> {
    this.processes.push(await startTraffic(this.server, ...args));
  }

  /** Any other program at the server; its output goes to this process's stderr. */
  start(...command: readonly string[]): void {
    this.processes.push(startInside(this.server, command, "inherit"));
  }

  /** CPU time of the processes at the server so far, in microseconds. */
  cpu(): number {
    return this.processes.reduce((sum, child) => sum + cpuOf(child), 0);
  }

  /** Ends what was started, and leaves nothing. */
  remove(): void {
    for (const child of this.processes) child.kill("SIGKILL");
    // Also where nothing was applied: it says so, and that is all.
    execFileSync(ilm, ["unload", "--netns", `/run/netns/${this.server}`]);
    for (const namespace of [this.client, this.server]) ip("netns", "delete", namespace);
  }
}
