/**
 * Daemons that open a socket for each client, on their own address and port and connected to it
 * (DTLS servers): sk_lookup can select no such socket, so ingress gives it its datagrams, also
 * where the daemon is in a socket map, and behind NAT.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { addressesOf, families, type Family } from "../support/matrix.js";
import { addFirewall, addNat, nft, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { words } from "../support/process.js";
import { UdpEnds, type UdpSocket } from "../support/udp.js";

const network = useNetwork();

/** The daemon's addresses. From 127.0.0.0/8 a socket cannot connect to another host. */
const own = { 4: "10.9.8.10", 6: "fd5e:ed00::10" } as const;
const rules = `
version: 1
services:
  app: { address: [10.9.8.10, "fd5e:ed00::10"], handover: HANDOVER }
mappings:
  - { name: same, protocol: udp, port: 7000, to: app }
  - { name: moved, protocol: udp, port: 7001-7009, to: "app:7000" }
`;

const hosts = [
  { host: "registered, on a host without NAT", handover: "lookup", nat: false },
  {
    host: "behind NAT and a stateful firewall, with the daemon running",
    handover: "auto",
    nat: true,
  },
] as const;

describe.each(hosts)("$host", ({ handover, nat }) => {
  let ends: { server: UdpEnds; client: UdpEnds };
  const configuration = rules.replace("HANDOVER", handover);

  beforeAll(async () => {
    const { server, client } = network;
    if (nat) {
      await addNat(server, 4, 6);
      await addFirewall(server, "7000-7009");
      await server.startRun(["-f", server.file(configuration)]);
    } else {
      await server.apply(configuration);
    }
    ends = { server: new UdpEnds(server), client: new UdpEnds(client) };
  });

  afterEach(async () => {
    await ends.server.closeAll();
    await ends.client.closeAll();
  });

  afterAll(async () => {
    const { server } = network;
    await removeRules(server);
    await ends.server.stop();
    await ends.client.stop();
    await server.stopStarted();
    await server.unload();
  });

  async function open(family: Family, share: "reuseport" | "reuseaddr"): Promise<UdpSocket> {
    const listener = await ends.server.open(family, {
      bind: [own[family], 7000],
      options: [share],
    });
    if (nat) await untilRegistered(network.server);
    else await network.server.apply(configuration);
    return listener;
  }

  for (const family of families) {
    const { label, second, public: dialled } = addressesOf[family];

    for (const share of ["reuseport", "reuseaddr"] as const) {
      for (const port of [7000, 7001]) {
        test(`${label}, port ${port}, ${share}: the child gets what its client sends, the listener all else`, async () => {
          const listener = await open(family, share);
          const client = await ends.client.open(family, { connect: [second, port] });
          await client.send(null, 1);
          const { from } = await listener.receive();
          const child = await ends.server.open(family, {
            bind: [own[family], 7000],
            options: [share],
            connect: [from.address, from.port],
          });
          for (let size = 2; size < 5; size++) {
            await client.send(null, size);
            expect(await child.receive()).toMatchObject({ size, from });
            await child.send(null, size);
            expect(await client.receive()).toMatchObject({ size, from: { address: second, port } });
            const other = await ends.client.open(family, { connect: [dialled, port] });
            await other.send(null, 100 + size);
            const asked = await listener.receive();
            expect(asked.size).toBe(100 + size);
            await listener.send(asked.from);
            expect((await other.receive()).from).toEqual({ address: dialled, port });
          }
          // In fragments, which ingress does not give, the listener gets them.
          await client.send(null, 4000);
          expect(await listener.receive()).toMatchObject({ size: 4000, from });
          await child.close();
          await client.send(null, 5);
          expect(await listener.receive()).toMatchObject({ size: 5, from });
          expect(network.server.faults()).toMatchObject({ unanswered: 0, unsteered: 0 });
        });
      }
    }

    if (!nat) continue;
    test(`${label}: what NAT leads elsewhere goes there, also when its client has a child`, async () => {
      const { server } = network;
      const ip = family === 4 ? "ip" : "ip6";
      const listener = await open(family, "reuseport");
      const client = await ends.client.open(family);
      await client.send([second, 7001], 1);
      const { from } = await listener.receive();
      const child = await ends.server.open(family, {
        bind: [own[family], 7000],
        options: ["reuseport"],
        connect: [from.address, from.port],
      });
      await client.send([second, 7001], 2);
      expect(await child.receive()).toMatchObject({ size: 2 });
      await nft(
        server,
        `table ${ip} elsewhere { chain in { type nat hook prerouting priority dstnat; udp dport 7005 redirect to :9000; }; }
insert rule inet people_firewall input udp dport 9000 accept
`,
      );
      const elsewhere = await ends.server.open(family, {
        bind: [addressesOf[family].wildcard, 9000],
        options: family === 6 ? ["v6only"] : [],
      });
      await client.send([second, 7005], 3);
      expect(await elsewhere.receive()).toMatchObject({ size: 3, from });
      await server.must(words(`nft delete table ${ip} elsewhere`));
    });
  }
});
