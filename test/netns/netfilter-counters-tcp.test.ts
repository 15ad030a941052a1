/**
 * `selected` of TCP counts SYNs that reach the daemon's listener, whoever gives them to it:
 * sk_lookup, which is behind the firewall, or ingress (MPTCP, `handover: ingress`), which is before
 * it. No mapping here is of UDP.
 */
import { availableParallelism } from "node:os";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { answeredDuring, detachDeliver, selected } from "../support/counters.js";
import { type Crafted, sendCrafted } from "../support/crafted.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families, type FamilyAddresses } from "../support/matrix.js";
import type { Namespace } from "../support/namespace.js";
import { nft, removeRules } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { eventually, must, words } from "../support/process.js";

const network = useNetwork();
let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

/** How listeners get their connections. What is counted must not depend on it. */
const ways = [
  { way: "lookup", kind: "tcp", port: 6000, to: 6000 },
  { way: "mptcp", kind: "mptcp", port: 6100, to: 6100 },
  { way: "moved", kind: "mptcp", port: 6200, to: 6201 },
  { way: "ingress", kind: "tcp", port: 6300, to: 6300 },
] as const;
type Way = (typeof ways)[number];

/** `others`: mappings beside these, on ports from 10,000 on. */
function rules(others = 0): string {
  const lines = Array.from(
    { length: others },
    (_, i) => `  - { name: other${i}, port: ${10_000 + i}, to: app }\n`,
  );
  return `version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  given: { address: [127.0.1.11, "fd5e:ed00::11"], handover: ingress }
mappings:
${lines.join("")}  - { name: lookup, port: 6000, to: app }
  - { name: mptcp, port: 6100, to: app }
  - { name: moved, port: 6200, to: "app:6201" }
  - { name: ingress, port: 6300, to: given }
`;
}

async function open(
  { way, kind, to }: Way,
  cell: FamilyAddresses,
  options?: { readonly backlog: number },
): Promise<void> {
  const address = way === "ingress" ? cell.daemon2 : cell.daemon;
  await lab.open("app", kind, address, to, options);
}

async function apply(others: number): Promise<void> {
  const { server } = network;
  await server.ilmDone(["apply", "-f", server.file(rules(others))]);
}

async function overflows(): Promise<number> {
  const shown = await network.server.must(words("nstat -asz TcpExtListenOverflows"));
  return Number(/ListenOverflows +(\d+)/.exec(shown)?.[1]);
}

beforeEach(async () => {
  await network.server.apply(rules());
});

afterEach(async () => {
  await removeRules(network.server);
});

for (const family of families) {
  const cell = addressesOf[family];
  const clients: readonly (readonly [string, string, () => Namespace])[] = [
    ["a client out there", cell.client, () => network.client],
    ["a client of the host's own", cell.public, () => network.server],
  ];
  /** An address that no host has, so what the server sends to it is not answered. */
  const stranger = family === 4 ? "203.0.113.77" : "2001:db8::77";

  for (const mapping of ways) {
    const { way, port } = mapping;
    describe(`${way}, ${cell.label}`, () => {
      for (const [who, source, namespace] of clients) {
        for (const mptcp of [false, true]) {
          test(`what the firewall drops is not counted, and what comes is: ${who}${mptcp ? " that speaks MPTCP" : ""}`, async () => {
            await open(mapping, cell);
            await nft(
              network.server,
              "table inet drops { chain input { type filter hook input priority filter; policy accept; tcp sport 20001 counter drop; }; }\n",
            );
            const before = await selected(network.server, way);
            const dial = async (from: number, timeout_s = 30): Promise<string> =>
              await namespace().who("tcp", cell.public, port, {
                from: [source, from],
                timeout_s,
                mptcp,
              });
            expect(await dial(20001, 0.2)).toBe("ETIMEDOUT");
            expect(await network.server.must(words("nft list ruleset"))).toMatch(
              /counter packets [1-9]/,
            );
            expect(await selected(network.server, way)).toBe(before);
            expect(await dial(20002)).toBe("app");
            expect(await selected(network.server, way)).toBe(before + 1);
            // From the very port of a SYN that was dropped.
            await removeRules(network.server);
            expect(await dial(20001)).toBe("app");
            expect(await selected(network.server, way)).toBe(before + 2);
          });
        }
      }

      for (const answer of ["", " --reject-with tcp-reset"]) {
        test(`what iptables refuses is not counted: -j REJECT${answer}`, async () => {
          const { server, client } = network;
          await open(mapping, cell);
          const program = family === 4 ? "iptables" : "ip6tables";
          const rule = `INPUT -p tcp --dport ${port} -j REJECT${answer}`;
          await server.must(words(`${program} -A ${rule}`));
          const before = await selected(network.server, way);
          expect(await client.who("tcp", cell.public, port, { mptcp: true })).toBe("ECONNREFUSED");
          expect(await selected(network.server, way)).toBe(before);
          await server.must(words(`${program} -D ${rule}`));
          expect(await client.who("tcp", cell.public, port, { mptcp: true })).toBe("app");
          expect(await selected(network.server, way)).toBe(before + 1);
        });
      }

      test("what a process lets through that is asked of each SYN is counted", async () => {
        const { server, client } = network;
        await open(mapping, cell);
        const judge = server.startPython("queue.py", []);
        await judge.waitForOutput(/ready/);
        await must(words(`taskset -acp ${Math.min(1, availableParallelism() - 1)} ${judge.pid}`));
        const program = family === 4 ? "iptables" : "ip6tables";
        const rule = `INPUT -p tcp --syn --dport ${port} -j NFQUEUE --queue-num 7`;
        await server.must(words(`${program} -A ${rule}`));
        const before = await selected(network.server, way);
        for (let n = 0; n < 5; n++) expect(await client.who("tcp", cell.public, port)).toBe("app");
        await server.must(words(`${program} -D ${rule}`));
        expect(judge.stdout.match(/passed/g)?.length).toBe(5);
        expect(await selected(network.server, way)).toBe(before + 5);
        await judge.stop();
      });

      test("a SYN that comes again is counted when the listener has nothing of the first, and not otherwise", async () => {
        const { server, client } = network;
        await open(mapping, cell, { backlog: 1 });
        const before = await selected(network.server, way);
        const syn = (from: number) =>
          ({ from: [stranger, from], to: [cell.public, port], sequence: 7 }) as const;
        await sendCrafted(client, server, Array(3).fill(syn(21000)) as Crafted[]);
        // Behind it on the wire.
        expect(await client.who("tcp", cell.public, port)).toBe("app");
        expect(await selected(network.server, way)).toBe(before + 2);
        await lab.do("close", "app");

        await open(mapping, cell, { backlog: 1 });
        await lab.do("hold", "app");
        // They stay in the queue when the clients have gone, and it is full then.
        for (let n = 0; n < 2; n++) {
          expect(await client.who("tcp", cell.public, port, { timeout_s: 0.2 })).toBe("ETIMEDOUT");
        }
        expect(await selected(network.server, way)).toBe(before + 4);
        const full = await overflows();
        await sendCrafted(client, server, Array(3).fill(syn(21001)) as Crafted[]);
        await eventually("the listener dropped three", async () =>
          (await overflows()) === full + 3 ? true : null,
        );
        expect(await selected(network.server, way)).toBe(before + 7);
        await lab.do("release", "app");
      });

      test("with SYN cookies a connection is two look-ups, and counted twice", async () => {
        const { server, client } = network;
        await server.must(["sh", "-c", "echo 2 > /proc/sys/net/ipv4/tcp_syncookies"]);
        try {
          await open(mapping, cell);
          const before = await selected(network.server, way);
          expect(await client.who("tcp", cell.public, port, { mptcp: true })).toBe("app");
          expect(await selected(network.server, way)).toBe(before + 2);
        } finally {
          await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_syncookies"]);
        }
      });

      test("what a rule of TPROXY leads to another socket is not counted", async () => {
        const { server, client } = network;
        await open(mapping, cell);
        await lab.open("proxy", "tcp", cell.loopback, 7000, { options: ["transparent"] });
        const address = family === 4 ? "127.0.0.1" : "[::1]";
        await nft(
          server,
          `table inet led { chain prerouting { type filter hook prerouting priority mangle; policy accept; meta nfproto ipv${family} tcp dport ${port} tcp sport 20003 tproxy ${family === 4 ? "ip" : "ip6"} to ${address}:7000; }; }\n`,
        );
        const before = await selected(network.server, way);
        const from = [cell.client, 20003] as const;
        expect(await client.who("tcp", cell.public, port, { from })).toBe("proxy");
        expect(await client.who("tcp", cell.public, port)).toBe("app");
        expect(await selected(network.server, way)).toBe(before + 1);
      });
    });
  }
}

for (const { way, kind, port, to } of ways) {
  test(`monitor tells of what reaches the listener, and not of what the firewall drops: ${way}`, async () => {
    const { server, client } = network;
    await lab.open("app", kind, way === "ingress" ? "127.0.1.11" : "127.0.1.10", to);
    await nft(
      server,
      "table inet drops { chain input { type filter hook input priority filter; policy accept; tcp sport 20004 drop; }; }\n",
    );
    const monitor = await server.startMonitor(["--json"], async () => {
      await client.who("tcp", "203.0.113.1", port);
    });
    const from = ["203.0.113.100", 20004] as const;
    expect(await client.who("tcp", "203.0.113.1", port, { from, timeout_s: 0.2 })).toBe(
      "ETIMEDOUT",
    );
    const last = await client.dial("tcp", "203.0.113.1", port);
    if (!last.answered) throw new Error("not answered");
    const own = `${last.client.port}`;
    await monitor.waitFor((self) => (self.stdout.includes(own) ? true : null));
    await monitor.stop("SIGINT");
    const lines = monitor.stdout.split("\n").filter((text) => text.includes(own));
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { verdict: "selected", mapping: way },
    ]);
    expect(monitor.stdout).not.toContain("20004");
  });
}

test(
  "counters are exact over changes of the rules and of the programs, under load",
  { timeout: 120_000 },
  async () => {
    const { server, client } = network;
    for (const family of families) {
      for (const { way, kind, to } of ways) {
        const cell = addressesOf[family];
        const address = way === "ingress" ? cell.daemon2 : cell.daemon;
        await lab.open(`${way}${family}`, kind, address, to, { tag: way });
      }
    }
    const before = await Promise.all(
      ways.map(async ({ way }) => await selected(network.server, way)),
    );
    const ports = ways.map(({ port }) => port);
    const counts = await answeredDuring(client, "tcp", ports, async () => {
      for (const others of [3, 0, 300, 700]) {
        await server.ilmDone(["add", "tcp:9000=127.0.1.10:6000"]);
        await apply(others);
      }
    });
    const answered = counts.map((each) => Object.values(each).reduce((sum, n) => sum + n, 0));
    expect(answered.every((count) => count > 100)).toBe(true);
    const after = await Promise.all(
      ways.map(async ({ way }) => await selected(network.server, way)),
    );
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual(answered);
  },
);

test("when what counts was detached, status says so, and what apply puts back counts again", async () => {
  const { server, client } = network;
  await lab.open("app", "mptcp", "127.0.1.10", 6100);
  const before = await selected(network.server, "mptcp");
  await detachDeliver(server);
  await server.apply(rules());
  expect(await client.who("tcp", "203.0.113.1", 6100)).toBe("app");
  expect(await selected(network.server, "mptcp")).toBe(before + 1);
});
