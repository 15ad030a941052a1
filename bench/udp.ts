/**
 * UDP: request and reply, direct, mapped (handed over at ingress, and by sk_lookup out of a socket
 * map), by nftables DNAT, and through a proxy; and beside connection tracking and NAT, which slow
 * what is direct too. Each way has namespaces of its own, all ways take turns in each of many short
 * rounds (bench/turns.ts), and each is compared with the direct way on such a host.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FamilyName, Site, families, ilm, runInside, runTraffic } from "./sites.js";
import { type Compared, type Measured, compare, takeTurns } from "./turns.js";

const ROUNDS = 40;
const SECONDS = 0.25;
/** Requests on their way at once: enough that neither end sleeps between them. */
const WINDOW = 16;

/** The daemon's own address. */
const daemons: Readonly<Record<FamilyName, string>> = { IPv4: "127.0.1.10", IPv6: "fd5e:ed00::10" };

type Way = "direct" | "unmapped" | "ingress" | "lookup" | "another port" | "DNAT" | "proxy";
type Host = "bare" | "conntrack" | "NAT";

const ways: readonly { readonly name: string; readonly way: Way; readonly host: Host }[] = [
  { name: "direct", way: "direct", host: "bare" },
  { name: "direct, beside a mapping of another port", way: "unmapped", host: "bare" },
  { name: "mapped, at ingress", way: "ingress", host: "bare" },
  { name: "mapped, by sk_lookup", way: "lookup", host: "bare" },
  { name: "mapped to another port", way: "another port", host: "bare" },
  { name: "proxy", way: "proxy", host: "bare" },
  { name: "direct, with conntrack", way: "direct", host: "conntrack" },
  { name: "mapped, at ingress, with conntrack", way: "ingress", host: "conntrack" },
  { name: "mapped to another port, with conntrack", way: "another port", host: "conntrack" },
  { name: "direct, with NAT", way: "direct", host: "NAT" },
  { name: "mapped, by sk_lookup, with NAT", way: "lookup", host: "NAT" },
  { name: "nftables DNAT", way: "DNAT", host: "NAT" },
];

export interface UdpRow extends Compared {
  readonly family: FamilyName;
  readonly way: string;
}

interface Entry {
  readonly index: number;
  readonly family: FamilyName;
  readonly site: Site;
}

/** What is compared is what is said to be. */
function requireHandover(site: Site, wanted: string): void {
  const words = ["listeners", "--json", "--netns", `/run/netns/${site.server}`];
  const shown = execFileSync(ilm, words, { encoding: "utf8" });
  const found = (JSON.parse(shown) as { readonly handover: string }[]).map((row) => row.handover);
  if (found.join() !== wanted) throw new Error(`handed over by ${found.join()}, not ${wanted}`);
}

/** What the server has besides. */
function furnish(host: Host, family: FamilyName, site: Site): void {
  const table = family === "IPv4" ? "ip" : "ip6";
  const chains: Readonly<Record<Host, string | null>> = {
    bare: null,
    conntrack:
      "chain in { type filter hook input priority 0; ct state established,related accept; }",
    NAT: "chain post { type nat hook postrouting priority srcnat; }",
  };
  const chain = chains[host];
  if (chain !== null) runInside(site.server, ["nft", `table ${table} host { ${chain}; }`]);
}

async function prepare(
  way: Way,
  host: Host,
  family: FamilyName,
  site: Site,
  folder: string,
): Promise<void> {
  const { server: address } = families[family];
  const daemon = daemons[family];
  furnish(host, family, site);
  const apply = (dialled: number, to: string, handover: string): void => {
    const file = join(folder, `${site.server}.json`);
    const rules = {
      version: 1,
      services: { app: { address: daemon, handover } },
      mappings: [{ protocol: "udp", port: dialled, to }],
    };
    writeFileSync(file, JSON.stringify(rules));
    site.apply(file);
  };
  switch (way) {
    case "direct":
      await site.daemon("echo", address, "5000");
      return;
    case "unmapped":
      apply(5009, "app", "auto");
      await site.daemon("echo", address, "5000");
      return;
    case "ingress":
    case "another port": {
      const port = way === "ingress" ? 5000 : 6000;
      apply(5000, `app:${port}`, "ingress");
      await site.daemon("echo", daemon, String(port));
      requireHandover(site, "ingress");
      return;
    }
    case "lookup":
      // The first puts the address there, the second the socket into the map.
      apply(5000, "app", "lookup");
      await site.daemon("echo", daemon, "5000");
      apply(5000, "app", "lookup");
      requireHandover(site, "sockmap");
      return;
    case "DNAT": {
      // An address that DNAT can lead to: the kernel routes nothing from outside to 127.0.0.0/8.
      const inner = family === "IPv4" ? "10.9.8.10" : daemon;
      const brackets = family === "IPv4" ? inner : `[${inner}]`;
      runInside(site.server, ["ip", "addr", "add", inner, "dev", "lo"]);
      site.redirect("udp", "5000", `${brackets}:5000`);
      await site.daemon("echo", inner, "5000");
      return;
    }
    case "proxy": {
      const inner = family === "IPv4" ? daemon : "::1";
      await site.daemon("echo", inner, "5001");
      await site.daemon("proxy", address, "5000", inner, "5001");
      return;
    }
  }
}

/** Requests with their reply. */
function measure({ family, site }: Entry): Measured {
  const { server } = families[family];
  const before = site.cpu();
  const words = ["client", server, "5000", String(SECONDS), String(WINDOW)];
  const result = runTraffic(site.client, ...words) as {
    replies: number;
    seconds: number;
    cpu_us: number;
  };
  return {
    value: result.replies / result.seconds,
    cpu: (result.cpu_us + site.cpu() - before) / result.replies,
  };
}

export async function measureUdp(): Promise<UdpRow[]> {
  const folder = mkdtempSync(join(tmpdir(), "ilm-bench-"));
  const sites: Site[] = [];
  const entries: Entry[] = [];
  try {
    for (const family of Object.keys(families) as FamilyName[]) {
      for (const [index, { way, host }] of ways.entries()) {
        const site = new Site(`u${family.slice(3)}${index}`, family);
        sites.push(site);
        await prepare(way, host, family, site, folder);
        entries.push({ index, family, site });
      }
    }
    entries.forEach(measure);
    const directOf = (entry: number): number => {
      const { index, family } = entries[entry] ?? { index: 0, family: "IPv4" };
      return entries.findIndex(
        (other) =>
          other.family === family &&
          ways[other.index]?.way === "direct" &&
          ways[other.index]?.host === ways[index]?.host,
      );
    };
    const compared = compare(takeTurns(ROUNDS, entries, measure), directOf);
    return entries.flatMap(({ index, family }, entry) => {
      const row = compared[entry];
      return row === undefined ? [] : [{ family, way: ways[index]?.name ?? "", ...row }];
    });
  } finally {
    for (const site of sites) site.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}
