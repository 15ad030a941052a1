/**
 * `selected` of UDP counts what is in the daemon's queue: not what the firewall dropped after
 * ingress had given it. Counters are exact over changes of the rules, of the programs and of what
 * is attached, under load.
 */
import { availableParallelism } from "node:os";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { answeredDuring, detachDeliver, selected } from "../support/counters.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { nft, removeRules } from "../support/neighbours.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork } from "../support/network.js";
import { eventually, must, words } from "../support/process.js";
import { UdpEnds } from "../support/udp.js";

const network = useNetwork();
let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

const ways = [
  { way: "same", title: "to the port that was dialled", port: 6000 },
  { way: "moved", title: "to another port", port: 6100 },
] as const;

/** `others`: mappings beside these, on ports from 10,000 on. */
function rules(others = 0): string {
  const lines = Array.from(
    { length: others },
    (_, i) => `  - { name: other${i}, protocol: udp, port: ${10_000 + i}, to: app }\n`,
  );
  return `version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], handover: ingress }
mappings:
${lines.join("")}  - { name: same, protocol: udp, port: 6000, to: app }
  - { name: moved, protocol: udp, port: 6100, to: "app:6000" }
  - { name: child, protocol: udp, port: 6200, to: "app:6001" }
`;
}

async function drop(source: number): Promise<void> {
  await nft(
    network.server,
    `table inet drops { chain input { type filter hook input priority filter; policy accept; udp sport ${source} counter drop; }; }\n`,
  );
}

async function dropped(packets: number): Promise<void> {
  const rule = `counter packets ${packets} `;
  await eventually(`the firewall dropped ${packets}`, async () =>
    (await network.server.must(words("nft list ruleset"))).includes(rule) ? true : null,
  );
}

/** Their order in the file is not that of their places: every change moves the counters of both. */
async function apply(others: number): Promise<void> {
  const { server } = network;
  await server.ilmDone(["apply", "-f", server.file(rules(others))]);
}

beforeEach(async () => {
  await network.server.apply(rules());
});

afterEach(async () => {
  await removeRules(network.server);
});

for (const family of families) {
  const cell = addressesOf[family];
  const clients: readonly (readonly [string, () => Namespace])[] = [
    ["a client out there", () => network.client],
    ["a client of the host's own", () => network.server],
  ];
  for (const { way, title, port } of ways) {
    for (const [who, namespace] of clients) {
      test(`what the firewall drops is not counted, and what comes is: ${who}, ${cell.label}, ${title}`, async () => {
        await lab.open("app", "udp", cell.daemon, 6000);
        const ends = new UdpEnds(namespace());
        const refused = await ends.open(family, { connect: [cell.public, port] });
        const served = await ends.open(family, { connect: [cell.public, port] });
        await drop(refused.local.port);
        const before = await selected(network.server, way);
        for (const socket of [refused, served, refused]) {
          await socket.send([cell.public, port], Array(20).fill(10) as number[]);
        }
        for (let n = 0; n < 20; n++) await served.receive();
        await dropped(40);
        expect(await selected(network.server, way)).toBe(before + 20);
        // From the very ports of a datagram that was dropped.
        await removeRules(network.server);
        await refused.send([cell.public, port], Array(20).fill(10) as number[]);
        for (let n = 0; n < 20; n++) await refused.receive();
        expect(await selected(network.server, way)).toBe(before + 40);
        await ends.stop();
      });
    }
  }

  test(`what a connected socket of the daemon gets is counted, ${cell.label}`, async () => {
    // The kernel connects none that is bound to 127.0.0.0/8 to another host.
    const namespace = family === 4 ? network.server : network.client;
    const ends = [new UdpEnds(network.server), new UdpEnds(namespace)] as const;
    const socket = await ends[1].open(family, { connect: [cell.public, 6200] });
    const options = ["reuseaddr"] as const;
    await ends[0].open(family, { bind: [cell.daemon, 6001], options });
    const child = await ends[0].open(family, { bind: [cell.daemon, 6001], options });
    await child.connect(socket.local);
    const before = await selected(network.server, "child");
    await socket.send([cell.public, 6200], [10, 10, 10]);
    for (let n = 0; n < 3; n++) await child.receive();
    expect(await selected(network.server, "child")).toBe(before + 3);
    await drop(socket.local.port);
    await socket.send([cell.public, 6200], [10, 10]);
    await dropped(2);
    expect(await selected(network.server, "child")).toBe(before + 3);
    for (const end of ends) await end.stop();
  });

  test(`what a process lets through that is asked of each packet is counted, ${cell.label}`, async () => {
    const { server, client } = network;
    await lab.open("app", "udp", cell.daemon, 6000);
    const ends = new UdpEnds(client);
    const socket = await ends.open(family, { connect: [cell.public, 6100] });
    await ends.pin(0);
    const judge = server.startPython("queue.py", []);
    await judge.waitForOutput(/ready/);
    // It gives them on from another CPU than they came in on, where there is one.
    await must(words(`taskset -acp ${Math.min(1, availableParallelism() - 1)} ${judge.pid}`));
    const program = family === 4 ? "iptables" : "ip6tables";
    const rule = "INPUT -p udp --dport 6100 -j NFQUEUE --queue-num 7";
    await server.must(words(`${program} -A ${rule}`));
    const before = await selected(network.server, "moved");
    await socket.send([cell.public, 6100], Array(20).fill(10) as number[]);
    for (let n = 0; n < 20; n++) await socket.receive();
    await server.must(words(`${program} -D ${rule}`));
    expect(judge.stdout.match(/passed/g)?.length).toBe(20);
    expect(await selected(network.server, "moved")).toBe(before + 20);
    await judge.stop();
    await ends.stop();
  });

  test(`a train of segments is one, as it was at ingress, ${cell.label}`, async () => {
    const { server, client } = network;
    const ends = [new UdpEnds(server), new UdpEnds(client)] as const;
    const daemon = await ends[0].open(family, { bind: [cell.daemon, 6000] });
    const socket = await ends[1].open(family, { connect: [cell.public, 6000] });
    const before = await selected(network.server, "same");
    await socket.send([cell.public, 6000], 1000, { segment: 100 });
    for (let n = 0; n < 10; n++) await daemon.receive();
    expect(await selected(network.server, "same")).toBe(before + 1);
    for (const end of ends) await end.stop();
  });
}

test("monitor tells of what is in the daemon's queue, and not of what the firewall drops", async () => {
  const { server, client } = network;
  await lab.open("app", "udp", "127.0.1.10", 6000);
  const ends = new UdpEnds(client);
  const refused = await ends.open(4, { connect: ["203.0.113.1", 6100] });
  const served = await ends.open(4, { connect: ["203.0.113.1", 6100] });
  await drop(refused.local.port);
  const monitor = await server.startMonitor(["--json"], async () => {
    await served.send(["203.0.113.1", 6100], [10]);
    await served.receive();
  });
  await refused.send(["203.0.113.1", 6100], Array(5).fill(10) as number[]);
  const last = await client.dial("udp", "203.0.113.1", 6100);
  if (!last.answered) throw new Error("not answered");
  const { port } = last.client;
  await monitor.waitFor((self) => (self.stdout.includes(`${port}`) ? true : null));
  const line = monitor.stdout.split("\n").find((text) => text.includes(`${port}`));
  expect(JSON.parse(line ?? "")).toMatchObject({ verdict: "selected", mapping: "moved" });
  expect(monitor.stdout).not.toContain(`${refused.local.port}`);
  await monitor.stop("SIGINT");
  await ends.stop();
});

describe("under load", () => {
  /** What changes, while four clients dial. */
  async function underLoad(change: () => Promise<void>): Promise<void> {
    const { server, client } = network;
    for (const family of families) {
      await server.echo("app", [["udp", addressesOf[family].daemon, 6000]]);
    }
    const before = [
      await selected(network.server, "same"),
      await selected(network.server, "moved"),
    ];
    const ports = ways.map(({ port }) => port);
    const counts = await answeredDuring(client, "udp", ports, change);
    const answered = counts.map(({ app = 0 }) => app);
    expect(answered.every((count) => count > 100)).toBe(true);
    const after = [await selected(network.server, "same"), await selected(network.server, "moved")];
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual(answered);
    await server.stopDaemons();
  }

  test(
    "counters are exact over changes of both sides of the tables",
    { timeout: 120_000 },
    async () => {
      const { server } = network;
      await underLoad(async () => {
        for (let turn = 0; turn < 2; turn++) {
          await server.ilmDone(["add", "udp:9000=127.0.1.10:6000"]);
          await apply(turn % 2 === 0 ? 3 : 0);
          await server.ilmDone(["remove", "udp:9000"]);
        }
      });
    },
  );

  test(
    "counters are exact over new programs, as the tables grow",
    { timeout: 120_000 },
    async () => {
      await underLoad(async () => {
        for (const others of [300, 1500]) await apply(others);
      });
      expect((await network.server.mappings()).length).toBe(1503);
    },
  );
});

test(
  "off and on: what the daemon got is counted, and nothing else",
  { timeout: 120_000 },
  async () => {
    const { server, client } = network;
    const ends = [new UdpEnds(server), new UdpEnds(client)] as const;
    const daemon = await ends[0].open(4, { bind: ["127.0.1.10", 6000] });
    const socket = await ends[1].open(4);
    const before = await selected(network.server, "moved");
    let received = 0;
    for (let turn = 0; turn < 6; turn++) {
      const change = server.start(server.ilmCommand([turn % 2 === 0 ? "off" : "on"]));
      while (change.running) {
        await socket.send(["203.0.113.1", 6100], Array(20).fill(10) as number[]);
        received += await daemon.drain();
      }
      expect((await change.exited).status).toBe(0);
    }
    received += await daemon.drain();
    expect(received).toBeGreaterThan(100);
    expect(await selected(network.server, "moved")).toBe(before + received);
    for (const end of ends) await end.stop();
  },
);

test("when what counts was detached, status says so, and what apply puts back counts again", async () => {
  const { server, client } = network;
  await lab.open("app", "udp", "127.0.1.10", 6000);
  const before = await selected(network.server, "same");
  await detachDeliver(server);
  await server.apply(rules());
  expect(await client.who("udp", "203.0.113.1", 6000)).toBe("app");
  expect(await selected(network.server, "same")).toBe(before + 1);
});
