/**
 * UDP: request and reply, direct, mapped (handed over at ingress, and through a socket map), by nftables DNAT, and through a
 * proxy. Each way has namespaces of its own (so the connection tracking that DNAT brings slows only DNAT), all ways take turns
 * in each of many short rounds (bench/turns.ts).
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FamilyName, Site, families, ilm, root, runInside, runTraffic } from "./sites.js";
import { type Compared, type Measured, compare, takeTurns } from "./turns.js";

const ROUNDS = 25;
const SECONDS = 0.3;
/** Requests on their way at once: enough that neither end sleeps between them. */
const WINDOW = 16;

/** The daemon's own address. */
const daemons: Readonly<Record<FamilyName, string>> = { IPv4: "127.0.1.10", IPv6: "fd5e:ed00::10" };

/** What kernels before 6.6 do; the product has no such choice where the kernel has tcx. */
const withoutTcx = join(root, "dist", "test", "support", "without-tcx.js");

const ways = [
  "direct",
  "mapped",
  "mapped, through a socket map",
  "mapped to another port",
  "nftables DNAT",
  "proxy",
] as const;
type Way = (typeof ways)[number];

export interface UdpRow extends Compared {
  readonly family: FamilyName;
  readonly way: Way;
}

interface Entry {
  readonly way: Way;
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

async function prepare(way: Way, family: FamilyName, site: Site, folder: string): Promise<void> {
  const { server: address } = families[family];
  const daemon = daemons[family];
  switch (way) {
    case "direct":
      await site.daemon("echo", address, "5000");
      return;
    case "mapped":
    case "mapped, through a socket map":
    case "mapped to another port": {
      const file = join(folder, `${site.server}.json`);
      const port = way === "mapped to another port" ? 6000 : 5000;
      const rules = {
        version: 1,
        services: { app: { address: daemon } },
        mappings: [{ protocol: "udp", port: 5000, to: `app:${port}` }],
      };
      writeFileSync(file, JSON.stringify(rules));
      const socketMap = way === "mapped, through a socket map";
      const put = (): void => {
        if (socketMap) runInside(site.server, [process.execPath, withoutTcx, "apply", file]);
        else site.apply(file);
      };
      put();
      await site.daemon("echo", daemon, String(port));
      // A socket map has whom a scan found; at ingress it makes no difference.
      put();
      requireHandover(site, socketMap ? "sockmap" : "ingress");
      return;
    }
    case "nftables DNAT": {
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
      for (const way of ways) {
        const site = new Site(`u${family.slice(3)}${ways.indexOf(way)}`, family);
        sites.push(site);
        await prepare(way, family, site, folder);
        entries.push({ way, family, site });
      }
    }
    entries.forEach(measure);
    const directOf = (index: number): number =>
      entries.findIndex(({ way, family }) => way === "direct" && family === entries[index]?.family);
    const compared = compare(takeTurns(ROUNDS, entries, measure), directOf);
    return entries.flatMap(({ way, family }, index) => {
      const row = compared[index];
      return row === undefined ? [] : [{ family, way, ...row }];
    });
  } finally {
    for (const site of sites) site.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}
