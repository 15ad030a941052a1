/**
 * What a client dialled is written down when the daemon gets its datagram, and by nothing else;
 * counters count datagrams only.
 */
import { readFileSync } from "node:fs";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sendCrafted } from "../support/crafted.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { nft, removeRules } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { words } from "../support/process.js";
import { UdpEnds } from "../support/udp.js";

const network = useNetwork();
let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

const rules = `
version: 1
services:
  kept: { address: [127.0.1.10, "fd5e:ed00::10"], handover: ingress }
  registered: { address: [127.0.1.11, "fd5e:ed00::11"], handover: lookup }
mappings:
  - { name: ingress, protocol: udp, port: 6100, to: "kept:6000" }
  - { name: lookup, protocol: udp, port: 6200, to: "registered:6000" }
  - { name: tcp, port: 6300, to: "registered:6000" }
`;

const ways = [
  { way: "ingress", port: 6100, own: "daemon" },
  { way: "lookup", port: 6200, own: "daemon2" },
] as const;

interface Flow {
  readonly client: { readonly address: string; readonly port: number };
}

/** Is there a flow of the client's port? A port is used in one test only. */
async function hasFlow(port: number): Promise<boolean> {
  const flows = (await network.server.ask(["flows", "--json"])).json() as readonly Flow[];
  return flows.some(({ client }) => client.port === port);
}

async function counted(): Promise<unknown> {
  const rows = await network.server.mappings();
  return [rows.map(({ counters }) => counters), network.server.faults()];
}

let nextPort = 20_000;

beforeAll(async () => {
  const { server } = network;
  await server.must(
    words("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.up0.rp_filter=0"),
  );
  await server.apply(rules);
});

beforeEach(() => {
  nextPort += 1;
});

afterEach(async () => {
  await removeRules(network.server);
});

for (const family of families) {
  for (const { way, port, own } of ways) {
    const cell = addressesOf[family];
    const { public: dialled, client: clientAddress } = cell;

    describe(`${cell.label}, ${way}`, () => {
      beforeEach(async () => {
        await lab.open("app", "udp", cell[own], 6000);
        await network.server.apply(rules);
      });

      /** A datagram that comes after all that was sent before. */
      async function pass(): Promise<void> {
        expect(await network.client.who("udp", dialled, port)).toBe("app");
      }

      test("a datagram that the daemon gets makes a flow, and is counted once", async () => {
        const { server, client } = network;
        const before = (await server.mappings()).find(({ name }) => name === way)?.counters;
        await sendCrafted(client, server, [
          { from: [clientAddress, nextPort], to: [dialled, port] },
        ]);
        await pass();
        expect(await hasFlow(nextPort)).toBe(true);
        const after = (await server.mappings()).find(({ name }) => name === way)?.counters;
        expect(after).toEqual({ ...before, selected: (before?.selected ?? 0) + 2 });
      });

      test("questions of a user without rights make none, and are not counted", async () => {
        const { server } = network;
        await pass();
        const before = await counted();
        const remote = [clientAddress, String(nextPort)];
        const said = await server.must([
          python,
          script("sock_diag.py"),
          "udp",
          ...remote,
          dialled,
          String(port),
          "100",
          "lo",
        ]);
        // sk_lookup was asked, and said whom the datagram would come to; what ingress gives it has
        // not.
        expect(said.trim()).toBe(way === "lookup" ? "6000" : "ENOENT");
        expect(await hasFlow(nextPort)).toBe(false);
        expect(await counted()).toEqual(before);
      });

      test("an ICMP error about a datagram that was never sent makes none", async () => {
        const { server, client } = network;
        await sendCrafted(client, server, [
          {
            from: [clientAddress, 0],
            to: [dialled, 0],
            error: family === 4 ? [3, 3] : [1, 4],
            about: { from: [dialled, port], to: [clientAddress, nextPort] },
          },
        ]);
        await pass();
        expect(await hasFlow(nextPort)).toBe(false);
      });

      test("a datagram that the firewall drops makes none", async () => {
        const { server, client } = network;
        await nft(
          server,
          `table inet drops { chain input { type filter hook input priority filter; policy accept; udp sport ${nextPort} counter drop; }; }\n`,
        );
        await sendCrafted(client, server, [
          { from: [clientAddress, nextPort], to: [dialled, port] },
        ]);
        await pass();
        expect(await server.must(words("nft list ruleset"))).toContain("counter packets 1 ");
        expect(await hasFlow(nextPort)).toBe(false);
      });

      test("a datagram from loopback's own address on the wire makes none", async () => {
        const { server, client } = network;
        await sendCrafted(client, server, [
          { from: [cell.loopback, nextPort], to: [dialled, port] },
        ]);
        await pass();
        expect(await hasFlow(nextPort)).toBe(false);
      });
    });
  }
}

describe("on a host with a tunnel, whose GRO looks for sockets before ingress", () => {
  let ends: UdpEnds;

  beforeAll(async () => {
    const { server, client } = network;
    // GRO of veth wants its NAPI, and a sender that segments nothing itself
    // (veth_skb_is_eligible_for_gro); look-ups there want a tunnel's socket
    // (net/ipv4/udp_offload.c, udp4_gro_receive).
    await server.must(words("ethtool -K up0 gro on"));
    await client.must(words("ethtool -K up0 tso off"));
    await server.must(
      words("ip link add vx0 type vxlan id 9 dstport 4789 local 203.0.113.1 dev up0"),
    );
    await server.must(words("ip link set vx0 up"));
    ends = new UdpEnds(client);
  });

  for (const family of families) {
    for (const { way, port, own } of ways) {
      const cell = addressesOf[family];

      test(`what the firewall drops makes no flow, and what comes is counted once, ${cell.label}, ${way}`, async () => {
        const { server } = network;
        await lab.open("app", "udp", cell[own], 6000);
        await server.apply(rules);
        const dropped = await ends.open(family, { bind: [cell.client, 0] });
        const source = dropped.local.port;
        await nft(
          server,
          `table inet drops { chain input { type filter hook input priority filter; policy accept; udp sport ${source} counter drop; }; }\n`,
        );
        const faults = server.faults();
        await dropped.send([cell.public, port], Array(20).fill(10) as number[]);
        const socket = await ends.open(family, { connect: [cell.public, port] });
        const before = (await server.mappings()).find(({ name }) => name === way)?.counters;
        await socket.send([cell.public, port], Array(20).fill(10) as number[]);
        for (let n = 0; n < 20; n++) await socket.receive();
        expect(await server.must(words("nft list ruleset"))).toContain("counter packets 20 ");
        expect(await hasFlow(source)).toBe(false);
        expect(await hasFlow(socket.local.port)).toBe(true);
        const after = (await server.mappings()).find(({ name }) => name === way)?.counters;
        expect(after).toEqual({ ...before, selected: (before?.selected ?? 0) + 20 });
        expect(server.faults()).toEqual(faults);
      });
    }
  }
});

/** The symbols of bpf/softirq.h. */
function tellsQuestions(): boolean {
  return /\b(?:__preempt_count|pcpu_hot)$/m.test(readFileSync("/proc/kallsyms", "latin1"));
}

describe("connections", () => {
  for (const family of families) {
    const cell = addressesOf[family];

    test.each([
      ["any interface", [], 0],
      // Without CONFIG_KALLSYMS_ALL, the kernel tells no program how to tell them apart.
      ["an interface", ["lo"], tellsQuestions() ? 0 : 100],
    ] as const)(
      `questions of a user without rights about %s: ${cell.label}`,
      async (_, on, counted) => {
        const { server, client } = network;
        await lab.open("app", "tcp", cell.daemon2, 6000);
        await server.apply(rules);
        const before = (await server.mappings()).find(({ name }) => name === "tcp")?.counters;
        expect(await client.who("tcp", cell.public, 6300)).toBe("app");
        const question = ["tcp", cell.client, "4711", cell.public, "6300", "100", ...on];
        const said = await server.must([python, script("sock_diag.py"), ...question]);
        // sk_lookup was asked, and said who would get it.
        expect(said.trim()).toBe("6000");
        const after = (await server.mappings()).find(({ name }) => name === "tcp")?.counters;
        expect(after).toEqual({ ...before, selected: (before?.selected ?? 0) + 1 + counted });
      },
    );
  }
});
