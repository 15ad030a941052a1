/**
 * Replies that leave by another way than a listener's own: by a second uplink, and from sockets of
 * the kernel's.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { families } from "../support/matrix.js";
import { useNetwork, vethCable } from "../support/network.js";
import { python, script } from "../support/paths.js";
import { must } from "../support/process.js";
import { UdpEnds } from "../support/udp.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [10.9.8.7, "fd5e:ed00::10"] }
mappings:
  - { protocol: udp, port: 7000, to: app }
  - { protocol: udp, port: 7001, to: "app:7000" }
  - { protocol: udp, port: 443, to: "*:4789" }
`;

describe("a connected child answers by the uplink whose address was dialled", () => {
  const ends = {
    4: { dialled: "192.0.2.1", daemon: "10.9.8.7", client: "10.99.0.9" },
    6: { dialled: "2001:db8:2::1", daemon: "fd5e:ed00::10", client: "2001:db8:99::9" },
  } as const;
  let server: UdpEnds;
  const client = new Map<string, UdpEnds>();

  beforeAll(async () => {
    await vethCable(network.server, network.client, "up1");
    const batch = async (
      name: string,
      lines: readonly string[],
      family: readonly string[] = [],
    ): Promise<void> => {
      await must(["ip", ...family, "-n", name, "-batch", "-"], { input: `${lines.join("\n")}\n` });
    };
    await batch(network.server.name, [
      "link set up1 up",
      "addr add 192.0.2.1/24 dev up1",
      "addr add 2001:db8:2::1/64 dev up1 nodad",
    ]);
    for (const [family, first, second, own] of [
      ["-4", "203.0.113.100", "192.0.2.100", "192.0.2.1"],
      ["-6", "2001:db8::100", "2001:db8:2::100", "2001:db8:2::1"],
    ] as const) {
      const lines = [
        `route replace default via ${first}`,
        `route add default via ${second} table 2`,
        `rule add from ${own} table 2`,
      ];
      await batch(network.server.name, lines, [family]);
    }
    await batch(network.client.name, [
      "link set up1 up",
      "addr add 192.0.2.100/24 dev up1",
      "addr add 2001:db8:2::100/64 dev up1 nodad",
      "addr add 10.99.0.9/32 dev lo",
      "addr add 2001:db8:99::9/128 dev lo nodad",
    ]);
    await network.server.apply(rules);
    server = new UdpEnds(network.server);
    for (const device of ["up0", "up1"]) {
      const each = new UdpEnds(network.client);
      await each.capture(device);
      client.set(device, each);
    }
  });

  afterAll(async () => {
    await network.server.must(["ip", "link", "del", "up1"]);
  });

  test.each(families.flatMap((family) => [7000, 7001].map((port) => ({ family, port }))))(
    "over IPv$family, port $port at the daemon's 7000",
    async ({ family, port }) => {
      const { dialled, daemon, client: own } = ends[family];
      const options = ["reuseaddr"] as const;
      const listener = await server.open(family, { bind: [daemon, 7000], options });
      const asking = client.get("up1");
      const socket = await asking?.open(family, { bind: [own, 0], connect: [dialled, port] });
      await socket?.send(null);
      const { from } = await listener.receive();
      const child = await server.open(family, {
        bind: [daemon, 7000],
        connect: [from.address, from.port],
        options,
      });
      // The first, and one in fragments.
      for (const size of [50, 3000]) {
        await child.send(null, size);
        expect(await socket?.receive()).toMatchObject({ size, whole: true });
      }
      const seen = async (device: string): Promise<readonly string[]> =>
        ((await client.get(device)?.captured(from.port)) ?? [])
          .filter(({ to }) => to.port === from.port)
          .flatMap(({ sources }) => sources);
      expect(new Set(await seen("up1"))).toEqual(new Set([dialled]));
      expect(await seen("up0")).toEqual([]);
      await child.close();
      await listener.close();
    },
  );
});

describe("a daemon that sends first, of a service that asks for it, is called back", () => {
  const trunk = (port: number): string => `
version: 1
services:
  trunk: { address: [127.0.1.70, "fd5e:ed00::70"], originate: true }
mappings:
  - { protocol: udp, port: ${port}, on: [203.0.113.5, "2001:db8::5"], to: "trunk:5060" }
`;
  const ends = {
    4: { daemon: "127.0.1.70", dialled: "203.0.113.5", peer: "203.0.113.100" },
    6: { daemon: "fd5e:ed00::70", dialled: "2001:db8::5", peer: "2001:db8::100" },
  } as const;

  test.each(families.flatMap((family) => [5060, 5061].map((port) => ({ family, port }))))(
    "over IPv$family, from the port $port that leads to its 5060",
    async ({ family, port }) => {
      const { daemon, dialled, peer } = ends[family];
      await network.server.apply(trunk(port));
      const [server, client] = [new UdpEnds(network.server), new UdpEnds(network.client)];
      const speaker = await server.open(family, { bind: [daemon, 5060] });
      // Of another one each time: whom it spoke to before is known for a while.
      const listener = await client.open(family, { bind: [peer, 0] });
      expect(await speaker.send(listener.local, 700)).toEqual({ sent: 700 });
      const { from } = await listener.receive(5);
      expect(from).toEqual({ address: dialled, port });
      await listener.send(from, 80);
      expect(await speaker.receive(5)).toMatchObject({ size: 80 });
      await Promise.all([server.stop(), client.stop()]);
    },
  );

  test("without that nothing leaves from 127.0.0.0/8", async () => {
    await network.server.apply(trunk(5060).replace(", originate: true", ""));
    const server = new UdpEnds(network.server);
    const speaker = await server.open(4, { bind: ["127.0.1.70", 5060] });
    expect(await speaker.send(["203.0.113.100", 5059])).toEqual({ error: "EINVAL" });
    await server.stop();
  });
});

test.each(families)(
  "a daemon with UDP_GRO gets segments in one piece, at ingress and by sk_lookup, which has it from the next apply on, IPv%s",
  async (family) => {
    const { server, client } = network;
    await server.apply(rules);
    const [app, ends] = [new UdpEnds(server), new UdpEnds(client)];
    const daemon = family === 4 ? "10.9.8.7" : "fd5e:ed00::10";
    const dialled = family === 4 ? "203.0.113.5" : "2001:db8::5";
    const listener = await app.open(family, { bind: [daemon, 7000], options: ["gro"] });
    const handover = async (): Promise<readonly string[]> =>
      (await server.listeners()).filter(({ port }) => port === 7000).map((row) => row.handover);
    const socket = await ends.open(family, { connect: [dialled, 7000] });
    for (const by of ["ingress", "sockmap"]) {
      if (by === "sockmap") await server.apply(rules);
      expect(await handover()).toEqual([by]);
      await socket.send(null, 3501, { segment: 1000 });
      expect(await listener.receive(5)).toMatchObject({ size: 3501, whole: true });
    }
    await Promise.all([app.stop(), ends.stop()]);
  },
);

describe.each(families)("a tunnel of the kernel's over IPv%s", (family) => {
  const dialled = family === 4 ? "203.0.113.5" : "2001:db8::5";
  const from = family === 4 ? "203.0.113.100" : "2001:db8::100";

  // Over IPv6 it sends checksums, which the device completes or the kernel does.
  test.each(["on", "off"])(
    "answers from the port that was dialled, offloads %s",
    async (offload) => {
      const { server, client } = network;
      const offloads = async (state: string): Promise<void> => {
        await server.must(["ethtool", "-K", "up0", "tx", state]);
      };
      await server.apply(rules);
      const tunnel = ["vxlan", "id", "7", "dstport", "4789", "srcport", "4789", "4790"];
      await server.must([
        "ip",
        "link",
        "add",
        "vx7",
        "type",
        ...tunnel,
        "local",
        dialled,
        "learning",
      ]);
      try {
        await offloads(offload);
        await server.must(["ip", "addr", "add", "10.77.0.1/24", "dev", "vx7"]);
        await server.must(["ip", "link", "set", "vx7", "address", "02:00:00:00:00:07", "up"]);
        const neighbour = ["10.77.0.9", "lladdr", "02:00:00:00:00:09", "dev", "vx7"];
        await server.must(["ip", "neigh", "replace", ...neighbour]);
        await server.echo("inside", [
          ["udp", "10.77.0.1", 9000],
          ["tcp", "10.77.0.1", 9000],
        ]);
        const ask = async (port: number, ...kind: readonly string[]): Promise<string> => {
          const words = [from, dialled, String(port), "7", "10.77.0.1", ...kind];
          return await client.must([python, script("vxlan.py"), ...words]);
        };
        // Itself, which needs nobody: so the tunnel works, and answers a peer that dials its own
        // port from there.
        expect(await ask(4789)).toBe(`${dialled} 4789\n`);
        // Of the kernel's own making, of a process's socket, and of a connection that is yet to be:
        // the packet keeps the socket inside.
        for (const kind of [[], ["udp"], ["tcp"]]) {
          expect(await ask(443, ...kind), kind.join()).toBe(`${dialled} 443\n`);
        }
        // And to whom that dialled both, from what it dialled last.
        expect(await ask(4789)).toBe(`${dialled} 4789\n`);
      } finally {
        await offloads("on");
        await server.must(["ip", "link", "del", "vx7"]);
        await server.stopStarted();
      }
    },
  );
});

describe("behind a firewall whose OUTPUT lets only what is established through", () => {
  const firewall = `
table inet host {
  chain in {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    udp dport { 7000, 7001 } ct state new limit rate 1000/second accept
  }
  chain out {
    type filter hook output priority 0; policy drop;
    oif lo accept
    ct state established accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
  }
}
`;

  afterAll(async () => {
    await network.server.must(["nft", "flush", "ruleset"]);
  });

  test.each(families)(
    "an answer from the port that was dialled leaves, one whose port is changed does not, and doctor says so, IPv%s",
    async (family) => {
      const { server, client } = network;
      await server.apply(rules);
      const before = (await server.ask(["doctor"])).text;
      expect(before).not.toContain("to conntrack they are new flows");
      await server.must(["nft", "-f", "-"], { input: firewall });
      const [app, ends] = [new UdpEnds(server), new UdpEnds(client)];
      const daemon = family === 4 ? "10.9.8.7" : "fd5e:ed00::10";
      const dialled = family === 4 ? "203.0.113.5" : "2001:db8::5";
      const listener = await app.open(family, { bind: [daemon, 7000] });
      for (const [port, arrives] of [
        [7000, true],
        [7001, false],
      ] as const) {
        const socket = await ends.open(family, { connect: [dialled, port] });
        await socket.send(null);
        const { from } = await listener.receive(5);
        const sent = await listener.send(from, 90);
        const answer = await socket.tryReceive(arrives ? 5 : 0.3);
        expect(
          "size" in answer && answer.size === 90,
          `${port}: ${JSON.stringify([sent, answer])}`,
        ).toBe(arrives);
      }
      const found = (await server.ask(["doctor"])).text;
      expect(found).toMatch(
        /answers of .*udp:7001.* leave the daemon with another port than was dialled: to conntrack they are new flows/,
      );
      // The way around that it names.
      await server.must([
        "nft",
        "add",
        "rule",
        "inet",
        "host",
        "out",
        "udp",
        "sport",
        "7000",
        "accept",
      ]);
      const socket = await ends.open(family, { connect: [dialled, 7001] });
      await socket.send(null);
      const { from } = await listener.receive(5);
      await listener.send(from, 90);
      expect(await socket.receive(5)).toMatchObject({ from: { address: dialled, port: 7001 } });
      await Promise.all([app.stop(), ends.stop()]);
      await server.must(["nft", "flush", "ruleset"]);
    },
  );
});
