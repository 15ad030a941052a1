/**
 * MPTCP listeners, which no sockmap takes, are destinations like any other, and count as already
 * listening.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  spare: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { port: 6000, to: app }
  - { port: 6001, to: "app:6000" }
  - { port: 6002, to: [app, spare], miss: reject }
  - { port: 6003, to: "*:6009" }
  - { port: 6004, to: app, existing: any }
  - { port: 6005, to: app, existing: never }
  - { port: 6006, to: ["*:6006", "spare:6006"] }
`;

let lab: Lab;

beforeAll(async () => {
  await network.server.apply(rules);
});

useLab(network, (started) => {
  lab = started;
});

for (const family of families) {
  const cell = addressesOf[family];
  describe(cell.label, () => {
    for (const mptcp of [false, true]) {
      const who = mptcp ? "a client that speaks MPTCP" : "a client that speaks plain TCP";

      test(`${who} reaches the listener, which sees what was dialled`, async () => {
        const { client } = network;
        await lab.open("app", "mptcp", cell.daemon, 6000);
        for (const port of [6000, 6001]) {
          expect(await client.dial("tcp", cell.public, port, { mptcp })).toMatchObject({
            tag: "app",
            peer: { address: cell.client },
            local: { address: cell.public, port },
            repliedFrom: { address: cell.public, port },
            ...(mptcp ? { mptcp: true } : {}),
          });
        }
      });

      test(`${who} reaches it from the machine itself`, async () => {
        const { server } = network;
        await lab.open("app", "mptcp", cell.daemon, 6000);
        for (const address of [cell.loopback, cell.public]) {
          expect(await server.dial("tcp", address, 6000, { mptcp })).toMatchObject({
            tag: "app",
            local: { address, port: 6000 },
          });
        }
      });
    }

    test("it is chosen from its listen() until it closes, and so is the next", async () => {
      const { client } = network;
      for (const tag of ["one", "two", "three"]) {
        expect(await client.dial("tcp", cell.public, 6000)).toEqual(refused);
        await lab.open(tag, "mptcp", cell.daemon, 6000);
        expect(await client.who("tcp", cell.public, 6000, { mptcp: true })).toBe(tag);
        await lab.do("close", tag);
      }
      expect(await client.dial("tcp", cell.public, 6000, { mptcp: true })).toEqual(refused);
    });

    test("in a list of destinations it has its place, before and after plain TCP", async () => {
      const { client } = network;
      await lab.open("spare", "tcp", cell.daemon2, 6002);
      expect(await client.who("tcp", cell.public, 6002)).toBe("spare");
      await lab.open("first", "mptcp", cell.daemon, 6002);
      expect(await client.who("tcp", cell.public, 6002)).toBe("first");
      await lab.do("close", "first");
      expect(await client.who("tcp", cell.public, 6002)).toBe("spare");
      await lab.do("close", "spare");
      expect(await client.dial("tcp", cell.public, 6002)).toEqual(refused);
      await lab.open("first", "tcp", cell.daemon, 6002);
      await lab.open("spare", "mptcp", cell.daemon2, 6002);
      expect(await client.who("tcp", cell.public, 6002)).toBe("first");
      await lab.do("close", "first");
      expect(await client.who("tcp", cell.public, 6002)).toBe("spare");
    });

    test("the wildcard as a destination takes one too", async () => {
      await lab.open("wild", "mptcp", cell.wildcard, 6009);
      expect(await network.client.who("tcp", cell.public, 6003)).toBe("wild");
    });

    test("plain TCP listeners on :: that take IPv6 only hide it from no IPv4 client", async () => {
      const { client } = network;
      const six = { options: ["v6only", "reuseport"] } as const;
      await lab.open("six", "tcp", "::", 6006, six);
      await lab.open("spare", "mptcp", cell.daemon2, 6006, { options: ["reuseport"] });
      expect(await client.who("tcp", cell.public, 6006)).toBe(family === 4 ? "spare" : "six");
      // Beside them on ::, and taking both.
      await lab.open("both", "mptcp", "::", 6006, { options: ["dual", "reuseport"] });
      if (family === 4) expect(await client.who("tcp", cell.public, 6006)).toBe("both");
      await lab.do("close", "both");
      await lab.open("plain both", "tcp", "::", 6006, { options: ["dual", "reuseport"] });
      if (family === 4) expect(await client.who("tcp", cell.public, 6006)).toBe("plain both");
    });

    test("one on exactly the dialled address counts as already listening", async () => {
      const { client } = network;
      await lab.open("app", "mptcp", cell.daemon, 6000);
      await lab.open("exact", "mptcp", cell.public, 6000);
      expect(await client.who("tcp", cell.public, 6000)).toBe("exact");
      expect(await client.who("tcp", cell.second, 6000)).toBe("app");
      await lab.do("close", "exact");
      expect(await client.who("tcp", cell.public, 6000)).toBe("app");
    });

    test("`existing` says what goes first: any listener, or the mapping", async () => {
      const { client } = network;
      // So that the kernel lets the wildcard and a specific address share a port.
      const options = ["reuseport"] as const;
      await lab.open("app4", "mptcp", cell.daemon, 6004, { options });
      await lab.open("app5", "mptcp", cell.daemon, 6005);
      await lab.open("wild", "mptcp", cell.wildcard, 6004, { options });
      await lab.open("exact", "mptcp", cell.public, 6005);
      expect(await client.who("tcp", cell.public, 6004)).toBe("wild");
      expect(await client.who("tcp", cell.public, 6005)).toBe("app5");
    });

    test("with SYN cookies the connection comes to the same listener", async () => {
      const { server, client } = network;
      await server.must(["sh", "-c", "echo 2 > /proc/sys/net/ipv4/tcp_syncookies"]);
      await lab.open("app", "mptcp", cell.daemon, 6000);
      try {
        for (const mptcp of [false, true]) {
          expect(await client.who("tcp", cell.public, 6000, { mptcp })).toBe("app");
        }
      } finally {
        await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_syncookies"]);
      }
    });

    test("a client that comes back from the same port, before the server has forgotten the last connection, is served at once", async () => {
      const { client } = network;
      await lab.open("app", "mptcp", cell.daemon, 6002);
      await lab.open("spare", "tcp", cell.daemon2, 6002);
      // The daemon closes first, so the server keeps the remains (TIME_WAIT).
      const options = { from: [cell.client, 20000] } as const;
      for (let round = 0; round < 5; round += 1) {
        expect(await client.dial("tcp", cell.public, 6002, options)).toMatchObject({
          tag: "app",
          client: { port: 20000 },
        });
      }
    });

    test("one that listened before us is known, and its end too", async () => {
      const { server, client } = network;
      await server.unload();
      // `unload` took the service's IPv6 address from lo: a listener that is there before needs one
      // of the host's own.
      await lab.open("early", "mptcp", family === 4 ? cell.daemon : cell.public, 6000);
      await lab.open("exact", "mptcp", cell.second, 6000);
      await server.apply(rules);
      expect(await client.who("tcp", cell.public, 6000)).toBe("early");
      expect(await client.who("tcp", cell.second, 6000)).toBe("exact");
      await lab.do("close", "early");
      await lab.do("close", "exact");
      await lab.open("late", "mptcp", cell.daemon, 6000);
      expect(await client.who("tcp", cell.public, 6000)).toBe("late");
      expect(await client.who("tcp", cell.second, 6000)).toBe("late");
    });
  });
}
