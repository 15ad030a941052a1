/**
 * ICMP errors about answers of UDP daemons reach their sockets, path MTUs too, with a stateful
 * firewall and NAT and without.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { addressesOf, families, type Family } from "../support/matrix.js";
import { addFirewall, addNat, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { eventually, must, words } from "../support/process.js";
import { Server } from "../support/server.js";
import { UdpEnds, type UdpSocket } from "../support/udp.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: same, protocol: udp, port: 7000, to: app }
  - { name: remap, protocol: udp, port: 7001, to: "app:7000" }
`;

/** Behind the client, which routes: its link carries no more than 1,400 bytes. */
const far = {
  4: { client: "198.18.0.2", router: "198.18.0.1", prefix: 24 },
  6: { client: "2001:db8:f::2", router: "2001:db8:f::1", prefix: 64 },
} as const;

let distant: Server;
let ends: { server: UdpEnds; client: UdpEnds; distant: UdpEnds };

beforeAll(async () => {
  const { server, client } = network;
  distant = await Server.make();
  await must(
    words(
      `ip link add far0 mtu 1400 netns ${client.name} type veth peer name far0 mtu 1400 netns ${distant.name}`,
    ),
  );
  for (const family of families) {
    const { client: end, router, prefix } = far[family];
    const own = addressesOf[family].client;
    for (const [space, address] of [
      [client, router],
      [distant, end],
    ] as const) {
      const nodad = family === 6 ? " nodad" : "";
      await space.must(words(`ip addr add ${address}/${prefix} dev far0${nodad}`));
      await space.must(words("ip link set far0 up"));
    }
    await distant.must(words(`ip -${family} route add default via ${router}`));
    await server.must(
      words(`ip -${family} route add ${end}/${family === 4 ? 32 : 128} via ${own}`),
    );
  }
  await client.must(words("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"));
  ends = {
    server: new UdpEnds(server),
    client: new UdpEnds(client),
    distant: new UdpEnds(distant),
  };
});

afterEach(async () => {
  await ends.server.closeAll();
  await ends.client.closeAll();
  await ends.distant.closeAll();
  // What was learnt about the path.
  for (const family of families) {
    await network.server.must(words(`ip -${family} route flush cache`));
  }
});

afterAll(async () => {
  await distant.destroy();
});

async function open(family: Family, ...options: readonly ("recverr" | "df")[]): Promise<UdpSocket> {
  return await ends.server.open(family, { bind: [addressesOf[family].daemon, 7000], options });
}

/** Who asks the daemon something; the answer is still to be given. */
async function ask(
  from: UdpEnds,
  family: Family,
  port: number,
  daemon: UdpSocket,
): Promise<{ client: UdpSocket; peer: readonly [string, number] }> {
  const client = await from.open(family, { connect: [addressesOf[family].second, port] });
  await client.send(null);
  const asked = await daemon.receive();
  return { client, peer: [asked.from.address, asked.from.port] };
}

const hosts = [
  { host: "a host without rules", firewall: false, nat: false },
  { host: "a stateful firewall", firewall: true, nat: false },
  { host: "a stateful firewall and NAT", firewall: true, nat: true },
] as const;

describe.each(hosts)("$host, with the daemon running", ({ firewall, nat }) => {
  beforeAll(async () => {
    const { server } = network;
    if (nat) await addNat(server, 4, 6);
    if (firewall) await addFirewall(server, "7000-7001");
    await server.startRun(["-f", server.file(rules)]);
  });

  afterAll(async () => {
    await removeRules(network.server);
    // And run; not what asks and answers.
    for (const one of Object.values(ends)) await one.stop();
    await network.server.stopStarted();
    await network.server.unload();
    ends = {
      server: new UdpEnds(network.server),
      client: new UdpEnds(network.client),
      distant: new UdpEnds(distant),
    };
  });

  for (const family of families) {
    const { label, second } = addressesOf[family];
    const unreachable = family === 4 ? { type: 3, code: 3 } : { type: 1, code: 4 };
    const tooBig = family === 4 ? { type: 3, code: 4 } : { type: 2, code: 0 };

    for (const port of [7000, 7001]) {
      test(`port ${port}: that a client is gone reaches the daemon, ${label}`, async () => {
        const daemon = await open(family, "recverr");
        const gone = async () => {
          const { client, peer } = await ask(ends.client, family, port, daemon);
          await client.close();
          await daemon.send(peer);
          return {
            peer,
            failure: await daemon.failure(firewall && !nat ? 0.5 : 30).catch(() => null),
          };
        };
        if (nat) await untilRegistered(network.server);
        // With conntrack and no NAT, the first error is what the daemon is registered for.
        if (firewall && !nat) {
          await gone();
          await untilRegistered(network.server);
        }
        const { peer, failure } = await gone();
        expect(failure).toMatchObject({
          errno: "ECONNREFUSED",
          ...unreachable,
          to: { address: peer[0], port: peer[1] },
        });
      });

      test(`port ${port}: the MTU of a path of 1,400 bytes is learnt by a daemon that may not fragment, ${label}`, async () => {
        const daemon = await open(family, "recverr", "df");
        if (nat) await untilRegistered(network.server);
        const { client, peer } = await ask(ends.distant, family, port, daemon);
        const size = 1450 - (family === 4 ? 28 : 48);
        let lost = 0;
        await eventually("the daemon is told", async () => {
          const sent = await daemon.send(peer, size);
          if ("error" in sent) {
            expect(sent.error).toBe("EMSGSIZE");
            return true;
          }
          expect(await client.tryReceive(0.2)).toEqual({ error: "ETIMEDOUT" });
          lost += 1;
          return null;
        });
        // Without NAT it may be registered only when the first error has come.
        expect(lost).toBeGreaterThan(0);
        expect(lost).toBeLessThanOrEqual(nat ? 1 : 2);
        expect(await daemon.failure()).toMatchObject({
          errno: "EMSGSIZE",
          ...tooBig,
          info: 1400,
          offender: addressesOf[family].client,
          to: { address: peer[0], port: peer[1] },
        });
        expect(await daemon.send(peer, 1400 - (family === 4 ? 28 : 48))).not.toHaveProperty(
          "error",
        );
        expect(await client.receive()).toMatchObject({
          from: { address: second, port },
          whole: true,
        });
      });
    }
  }
});
