/**
 * Goal: several watch at once, each gets what it asked for and nothing else, and what it does not
 * get is counted; one that is killed, or has stopped, leaves nothing that costs or blocks.
 */
import { readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Dial, refused } from "../support/dialler.js";
import type { Protocol } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { type Background, eventually, must } from "../support/process.js";

const network = useNetwork();

const services = `version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
`;
const rules = `${services}mappings:
  - { name: web, port: 80, to: "app:8080" }
  - { name: shut, port: [81, 82], to: "app:8081", miss: reject }
  - { name: names, protocol: udp, port: 53, to: app }
`;

interface Dialled {
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
  readonly mapping: string;
  readonly verdict: string;
}

const addresses = ["203.0.113.1", "203.0.113.5", "2001:db8::1", "2001:db8::5"];
const dialled: readonly Dialled[] = addresses.flatMap((address) => [
  { protocol: "tcp", address, port: 80, mapping: "web", verdict: "selected" },
  { protocol: "tcp", address, port: 81, mapping: "shut", verdict: "rejected" },
  { protocol: "tcp", address, port: 82, mapping: "shut", verdict: "rejected" },
  { protocol: "udp", address, port: 53, mapping: "names", verdict: "selected" },
]);

/** What `ilm monitor` was asked for, and which of the dials that is. */
const readers: readonly (readonly [readonly string[], (dial: Dialled) => boolean])[] = [
  [[], () => true],
  [["--protocol", "udp"], ({ protocol }) => protocol === "udp"],
  [["--on", "203.0.113.1"], ({ address }) => address === "203.0.113.1"],
  [["--on", "::/0", "--port", "80"], ({ address, port }) => address.includes(":") && port === 80],
  [["--port", "81-82"], ({ port }) => port > 80],
  [["--from", "203.0.113.64/26"], ({ address }) => !address.includes(":")],
  [["--from", "203.0.113.0/26"], () => false],
  [["--mapping", "names", "shut"], ({ mapping }) => mapping !== "web"],
  [
    ["--verdict", "rejected", "--on", "2001:db8::/64"],
    ({ address, verdict }) => address.includes(":") && verdict === "rejected",
  ],
];

function rowOf({ protocol, address, port, mapping, verdict }: Dialled): string {
  const place = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  return `${verdict} ${protocol} ${place} ${mapping}`;
}

/** What a monitor printed, without times, clients and destinations. */
function rowsIn(printed: string): string[] {
  const [, ...lines] = printed.trimEnd().split("\n");
  return lines.map((line) => {
    const [, verdict, protocol, , place, mapping] = line.split(/ +/);
    return [verdict, protocol, place, mapping].join(" ");
  });
}

async function dialAll(): Promise<void> {
  for (const { protocol, address, port, verdict } of dialled) {
    const answer: Dial = await network.client.dial(protocol, address, port);
    if (verdict === "rejected") expect(answer).toEqual(refused);
    else expect(answer).toMatchObject({ tag: "app" });
  }
}

async function ended(monitor: Background): Promise<{ rows: string[]; counts: string }> {
  const result = await monitor.stop("SIGINT");
  expect(result.status, result.stderr).toBe(0);
  return { rows: rowsIn(result.stdout), counts: result.stderr };
}

beforeEach(async () => {
  await network.server.apply(rules);
  await network.server.echo("app", [
    ["tcp", "127.0.1.10", 8080],
    ["tcp", "fd5e:ed00::10", 8080],
    ["udp", "127.0.1.10", 53],
    ["udp", "fd5e:ed00::10", 53],
  ]);
});

afterEach(async () => {
  await network.server.reset();
});

test("each of several that watch at once sees exactly what it asked for, in the order of the dials", async () => {
  const monitors = await Promise.all(
    readers.map(async ([args]) => await network.server.watch(...args)),
  );
  await dialAll();
  for (const [index, [args, wants]] of readers.entries()) {
    const monitor = monitors[index];
    if (monitor === undefined) throw new Error("not started");
    const { rows, counts } = await ended(monitor);
    const wanted = dialled.filter(wants).map(rowOf);
    expect(rows, args.join(" ")).toEqual(wanted);
    expect(counts, args.join(" ")).toBe(
      `ilm: ${dialled.length} decisions, ${wanted.length} matched, ${wanted.length} shown, 0 dropped\n`,
    );
  }
});

describe("one that is killed", () => {
  test("disturbs no other, and its seat and memory are free after seconds", async () => {
    const { server } = network;
    const [killed, other] = [await server.watch(), await server.watch("--mapping", "web")];
    await dialAll();
    await killed.stop("SIGKILL");
    await dialAll();
    const web = dialled.filter(({ mapping }) => mapping === "web").map(rowOf);
    expect((await ended(other)).rows).toEqual([...web, ...web]);
    await eventually("decisions are no longer reported", async () => {
      await network.client.dial("tcp", "203.0.113.1", 80);
      return (await watchedUntil()) === 0n ? true : null;
    });
    await eventually("its seat is free", async () => {
      // Whoever comes next frees what has no owner.
      await server.ilmDone(["monitor", "--seconds", "0.01"]);
      return (await rings()) === 0 ? true : null;
    });
  });

  test("blocks none of the 16 seats for longer", async () => {
    const { server } = network;
    const end = server.watchers(15);
    try {
      const last = await server.watch();
      const refusal = await server.ilm(["monitor", "--seconds", "0.01"]);
      expect(refusal.status).toBe(4);
      expect(refusal.stderr).toMatch(
        /16 readers watch this namespace's decisions already, which is the most\n {2}.*End one of these `ilm monitor` first: processes (?:\d+, ){15}\d+/,
      );
      await last.stop("SIGKILL");
      await eventually("the seat is free", async () => {
        const next = await server.ilm(["monitor", "--seconds", "0.01"]);
        return next.status === 0 ? true : null;
      });
    } finally {
      end();
    }
  });
});

test("one that was stopped until its seat was another's takes a new one, and goes on", async () => {
  const { server } = network;
  const monitor = await server.watch("--mapping", "web");
  await dialAll();
  monitor.signal("SIGSTOP");
  await eventually("its seat is free", async () => {
    await server.ilmDone(["monitor", "--seconds", "0.01"]);
    return (await rings()) === 0 ? true : null;
  });
  const end = server.watchers(1);
  try {
    monitor.signal("SIGCONT");
    await eventually("it watches again", async () => ((await rings()) === 2 ? true : null));
    await dialAll();
    const web = dialled.filter(({ mapping }) => mapping === "web").map(rowOf);
    expect((await ended(monitor)).rows).toEqual([...web, ...web]);
  } finally {
    end();
  }
});

describe("names of mappings", () => {
  const renumbered = (added: string): string =>
    `${services}mappings:
${added}  - { name: names, protocol: udp, port: 53, to: app }
  - { name: shut, port: [81, 82], to: "app:8081", miss: reject }
  - { name: web, port: 80, to: "app:8080" }
`;

  test.each([
    ["all tables are written again", undefined],
    ["lines lie over the tables", { layeredFrom: 0 }],
  ] as const)("stay right when rules change their numbers, and %s", async (_, options) => {
    const { server } = network;
    await server.apply(rules, options);
    const monitor = await server.watch("--mapping", "web");
    let dials = 0;
    /** Then the rules that decided are known to the monitor. */
    const dialAndSee = async (): Promise<void> => {
      await dialAll();
      dials++;
      await monitor.waitFor((self) => (rowsIn(self.stdout).length === 4 * dials ? true : null));
    };
    await dialAndSee();
    const more = Array.from({ length: 3 }, (_each, i) => i).map(
      (i) => `  - { name: more${i}, port: ${9000 + i}, to: "app:8080" }\n`,
    );
    await server.apply(renumbered(more.join("")), options);
    await dialAndSee();
    await server.apply(rules, options);
    await dialAndSee();
    await server.ilmDone(["add", "tcp:9100=app:8080"]);
    await dialAndSee();
    const web = dialled.filter(({ mapping }) => mapping === "web").map(rowOf);
    const { rows, counts } = await ended(monitor);
    expect(rows).toEqual([...web, ...web, ...web, ...web]);
    expect(counts).toMatch(/^ilm: 64 decisions, 16 matched, 16 shown, 0 dropped\n$/);
  });
});

describe("what is not shown", () => {
  const DATAGRAMS = 20_000;

  async function flood(): Promise<void> {
    const args = ["203.0.113.1", "53", String(DATAGRAMS)];
    await network.client.must([python, script("flood.py"), ...args]);
  }

  /** What the kernel counted, which is all datagrams that the daemon's queue took. */
  async function summaryOf(...args: readonly string[]): Promise<Record<string, number>> {
    const { server, client } = network;
    const monitor = server.start(server.ilmCommand(["monitor", "--json", "--summary", ...args]));
    // The ring is there a moment before decisions are counted.
    await eventually("it watches", async () =>
      (await rings()) === 1 && (await watchedUntil()) > process.hrtime.bigint() ? true : null,
    );
    await client.dial("tcp", "203.0.113.1", 80);
    await flood();
    const result = await monitor.stop("SIGINT");
    const lines = result.stdout.trimEnd().split("\n");
    const last = JSON.parse(lines.at(-1) ?? "") as { summary: Record<string, number> };
    expect(last.summary["shown"]).toBe(lines.length - 1);
    return last.summary;
  }

  test("is counted: left out by the sample, or faster than the rate, and nothing else is missing", async () => {
    const sampled = await summaryOf("--protocol", "udp", "--sample", "10", "--rate", "1000000");
    const { decisions = 0, matched = 0, skipped = 0, dropped = 0, shown = 0 } = sampled;
    // The connection was decided, and not asked for.
    expect(decisions).toBe(matched + 1);
    expect(dropped).toBe(0);
    expect(shown + skipped).toBe(matched);
    // Six standard deviations.
    const reach = 6 * Math.sqrt(matched * 0.1 * 0.9);
    expect(Math.abs(shown - matched / 10)).toBeLessThan(reach);

    const bounded = await summaryOf("--protocol", "udp", "--rate", "10");
    expect(bounded["shown"]).toBeGreaterThan(0);
    expect(bounded["dropped"]).toBeGreaterThan(0);
    expect((bounded["shown"] ?? 0) + (bounded["dropped"] ?? 0)).toBe(bounded["matched"]);
  });
});

/** A map of the registry, by its elements. */
async function pinned(map: string): Promise<readonly { readonly value: readonly string[] }[]> {
  const { pinPath } = await network.server.status();
  const registries = readdirSync(pinPath).filter((name) => name.startsWith("registry-"));
  const path = `${pinPath}/${registries.at(-1)}/${map}`;
  const shown = await must(["bpftool", "-j", "map", "dump", "pinned", path]);
  return JSON.parse(shown) as readonly { readonly value: readonly string[] }[];
}

/** How many ring buffers take memory. */
async function rings(): Promise<number> {
  return (await pinned("reader_rings")).length;
}

async function watchedUntil(): Promise<bigint> {
  const [element] = await pinned("watch");
  const bytes = (element?.value ?? []).map(Number);
  return Buffer.from(bytes).readBigUInt64LE();
}
