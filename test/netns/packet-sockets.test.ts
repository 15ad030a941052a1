/**
 * A packet socket for IPv4 or IPv6 (keepalived's, a DHCP client's) takes away what ingress gives,
 * as NAT does: the kernel gives IP a copy of the packet then, without the socket. Daemons are
 * served all the same, or named.
 */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { holdPacketSocket, unboundTapsTake } from "../support/packet-sockets.js";
import { type Background, eventually } from "../support/process.js";

const network = useNetwork();
let lab: Lab;
let holder: Background | null = null;

useLab(network, (started) => {
  lab = started;
});

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: app, protocol: [tcp, udp], port: 6000, to: app }
`;

beforeAll(async () => {
  const { server } = network;
  await server.startRun(["-f", server.file(rules)]);
});

afterEach(async () => {
  await holder?.stop();
  holder = null;
});

const sockets = [
  { where: "bound to the interface", device: "up0", takes: true },
  { where: "bound to none", device: null, takes: unboundTapsTake },
  { where: "bound to another interface", device: "lo", takes: false },
] as const;

async function warned(): Promise<readonly string[]> {
  const { warnings } = await network.server.status();
  return (warnings as readonly { readonly kind: string }[]).map(({ kind }) => kind);
}

for (const family of families) {
  const { label, public: dialled, daemon } = addressesOf[family];

  describe.each(sockets)(`of ${label}, $where`, ({ device, takes }) => {
    test("a UDP daemon is registered with the first datagram that is missed, and all others reach it", async () => {
      const { client } = network;
      holder = await holdPacketSocket(network.server, family, device);
      await lab.open("app", "udp", daemon, 6000);
      await eventually("the daemon answers", async () => {
        const who = await client.who("udp", dialled, 6000);
        expect(["app", "ECONNREFUSED"]).toContain(who);
        return who === "app" ? true : null;
      });
      for (let n = 0; n < 20; n++) expect(await client.who("udp", dialled, 6000)).toBe("app");
    });

    test(`a TCP daemon is reached; an MPTCP one is ${takes ? "refused, and warned of" : "reached"}`, async () => {
      const { client } = network;
      holder = await holdPacketSocket(network.server, family, device);
      await lab.open("app", "tcp", daemon, 6000);
      expect(await client.who("tcp", dialled, 6000)).toBe("app");
      await lab.do("close", "app");
      await lab.open("app", "mptcp", daemon, 6000);
      const who = await client.who("tcp", dialled, 6000, { mptcp: true });
      expect(who).toBe(takes ? "ECONNREFUSED" : "app");
      if (takes) expect(await warned()).toContain(device === null ? "unreached" : "unsteered");
    });
  });

  test(`one for all packets, of ${label}: nothing is taken away`, async () => {
    const { client } = network;
    holder = await holdPacketSocket(network.server, "all", "up0");
    for (const kind of ["mptcp", "udp"] as const) {
      await lab.open("app", kind, daemon, 6000);
      const protocol = kind === "udp" ? "udp" : "tcp";
      expect(await client.who(protocol, dialled, 6000)).toBe("app");
      await lab.do("close", "app");
    }
  });
}
