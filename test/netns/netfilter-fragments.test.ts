/**
 * Requests in fragments, and with headers between IP and UDP: judged like whole ones, for daemons
 * that are registered.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { sendCrafted } from "../support/crafted.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families, type Family } from "../support/matrix.js";
import { addFirewall, addNat, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";
import { UdpEnds } from "../support/udp.js";

const network = useNetwork();
const refused = "ECONNREFUSED";
const sizes = [3000, 60_000] as const;
let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

/** Each size has daemons of its own: who was registered once stays so. */
const daemons: Readonly<Record<number, Readonly<Record<Family, string>>>> = {
  3000: { 4: "127.0.1.30", 6: "fd5e:ed00::30" },
  60_000: { 4: "127.0.1.60", 6: "fd5e:ed00::60" },
};

const rules = `
version: 1
services:
  small: { address: [127.0.1.30, "fd5e:ed00::30"] }
  large: { address: [127.0.1.60, "fd5e:ed00::60"] }
  kept: { address: [127.0.1.10, "fd5e:ed00::10"], handover: ingress }
  registered: { address: [127.0.1.11, "fd5e:ed00::11"], handover: lookup }
mappings:
  - { name: small, protocol: udp, port: 6030, to: "small:6000" }
  - { name: large, protocol: udp, port: 6060, to: "large:6000" }
  - { name: kept, protocol: udp, port: 6100, to: "kept:6000" }
  - { name: registered, protocol: udp, port: 6200, to: "registered:6000" }
  - { name: others, protocol: udp, port: 6300, from: [192.0.2.0/24, "2001:db8:77::/64"], to: "registered:6000" }
  - { name: clients, protocol: udp, port: 6301, from: [203.0.113.100, "2001:db8::100"], to: "registered:6000" }
  - { name: rejecting, protocol: udp, port: 6400, to: "registered:6999", miss: reject }
`;
const portOf = (size: number): number => (size === 3000 ? 6030 : 6060);

async function errorsOf(name: string): Promise<number> {
  const rows = await network.server.mappings();
  return rows.find((row) => row.name === name)?.counters.errors ?? 0;
}

async function openWild(family: Family, port: number): Promise<void> {
  const options = family === 6 ? (["v6only"] as const) : [];
  await lab.open("wild", "udp", addressesOf[family].wildcard, port, { options });
}

describe("on a host without NAT", () => {
  beforeAll(async () => {
    await network.server.apply(rules);
  });

  for (const family of families) {
    const { label, public: dialled, second, daemon, daemon2 } = addressesOf[family];

    for (const size of sizes) {
      const own = daemons[size]?.[family] ?? "";
      const port = portOf(size);
      const name = size === 3000 ? "small" : "large";
      const dial = async (to: number) =>
        await network.client.dial("udp", second, to, { length: size });

      test(`${size} bytes for a daemon that is not registered are refused, counted, and given to no other socket; apply helps, ${label}`, async () => {
        const { server, client } = network;
        await lab.open("app", "udp", own, 6000);
        await openWild(family, port);
        const before = [server.faults().unsteered, await errorsOf(name)] as const;
        for (let n = 1; n <= 2; n++) {
          expect(await dial(port)).toEqual({ answered: false, errno: refused });
          expect(server.faults().unsteered).toBe(before[0] + n);
          expect(await errorsOf(name)).toBe(before[1] + n);
        }
        // What comes whole is served meanwhile.
        expect(await client.who("udp", second, port)).toBe("app");
        await network.server.apply(rules);
        expect(await dial(port)).toMatchObject({
          tag: "app",
          length: size,
          repliedFrom: { address: second, port },
        });
        expect(await client.who("udp", second, port)).toBe("app");
        expect(server.faults().unsteered).toBe(before[0] + 2);
      });

      test(`${size} bytes: handover: ingress refuses them for ever, ${label}`, async () => {
        const { server, client } = network;
        await lab.open("app", "udp", daemon, 6000);
        await openWild(family, 6100);
        const before = server.faults().unsteered;
        expect(await dial(6100)).toMatchObject({ errno: refused });
        await network.server.apply(rules);
        expect(await dial(6100)).toMatchObject({ errno: refused });
        expect(server.faults().unsteered).toBe(before + 2);
        expect(await client.who("udp", second, 6100)).toBe("app");
      });

      test(`${size} bytes: \`from\` and \`miss: reject\` hold, ${label}`, async () => {
        await lab.open("app", "udp", daemon2, 6000);
        await network.server.apply(rules);
        expect(await dial(6200)).toMatchObject({ tag: "app", repliedFrom: { port: 6200 } });
        expect(await dial(6301)).toMatchObject({ tag: "app", repliedFrom: { port: 6301 } });
        expect(await dial(6300)).toMatchObject({ errno: refused });
        await openWild(family, 6300);
        expect(await dial(6300)).toMatchObject({ tag: "wild" });
        await lab.do("close", "wild");
        await openWild(family, 6400);
        expect(await dial(6400)).toMatchObject({ errno: refused });
      });
    }

    test(`a fragment whose rest never comes makes no flow, ${label}`, async () => {
      const { server, client } = network;
      await lab.open("app", "udp", daemon2, 6000);
      await network.server.apply(rules);
      const from = [addressesOf[family].client, 40_000 + family] as const;
      const packet = { from, to: [dialled, 6200] as const, size: 3000 };
      await sendCrafted(client, server, [{ ...packet, only: [0, 1000] }]);
      expect(await client.who("udp", dialled, 6200)).toBe("app");
      const flows = async (): Promise<string> => (await server.ask(["flows", "--json"])).stdout;
      expect(await flows()).not.toContain(`4000${family}`);
      // Then it comes after all.
      await sendCrafted(client, server, [
        { ...packet, only: [1000, 1000] },
        { ...packet, only: [2000, 1008] },
      ]);
      await eventually("there is a flow", async () =>
        (await flows()).includes(`4000${family}`) ? true : null,
      );
    });
  }
});

describe("with the daemon running", () => {
  beforeAll(async () => {
    const { server } = network;
    await server.unload();
    await server.startRun(["-f", server.file(rules)]);
  });

  for (const family of families) {
    for (const size of sizes) {
      test(`${size} bytes: the first is refused, and the next ones are served, IPv${family}`, async () => {
        const { server, client } = network;
        const { second } = addressesOf[family];
        const port = portOf(size);
        await lab.open("app", "udp", daemons[size]?.[family] ?? "", 6000);
        await openWild(family, port);
        const dial = async () => await client.dial("udp", second, port, { length: size });
        const before = server.faults().unsteered;
        expect(await dial()).toEqual({ answered: false, errno: refused });
        expect(server.faults().unsteered).toBe(before + 1);
        await eventually("the daemon is registered", async () => {
          const rows = await server.listeners();
          return rows.some(
            ({ mappings, handover }) =>
              mappings.includes(size === 3000 ? "small" : "large") && handover === "sockmap",
          )
            ? true
            : null;
        });
        for (let n = 0; n < 3; n++) {
          expect(await dial()).toMatchObject({
            tag: "app",
            length: size,
            repliedFrom: { address: second, port },
          });
        }
        // Also its successor.
        await lab.do("close", "app");
        await lab.open("again", "udp", daemons[size]?.[family] ?? "", 6000);
        await eventually("the successor is registered", async () => {
          const answer = await dial();
          expect(answer).not.toMatchObject({ tag: "wild" });
          return answer.answered && answer.tag === "again" ? true : null;
        });
      });
    }
  }
});

describe("fragments that come to two CPUs", () => {
  beforeAll(async () => {
    const { server } = network;
    await server.stopStarted();
    await server.unload();
    await server.startRun(["-f", server.file(rules)]);
  });

  for (const family of families) {
    test(`get the daemon registered like others, IPv${family}`, async () => {
      const { server, client } = network;
      const { client: clientAddress, second } = addressesOf[family];
      await lab.open("app", "udp", daemons[3000]?.[family] ?? "", 6000);
      const from = [clientAddress, 41_000] as const;
      const packet = { from, to: [second, 6030] as const, size: 1992 };
      await sendCrafted(client, server, [{ ...packet, only: [0, 1400] }], 0);
      await sendCrafted(client, server, [{ ...packet, only: [1400, 600] }], 1);
      await untilRegistered(server);
      const answer = await client.dial("udp", second, 6030, { length: 3000 });
      expect(answer).toMatchObject({ tag: "app", length: 3000 });
    });
  }
});

describe("behind NAT and a stateful firewall, with the daemon running", () => {
  beforeAll(async () => {
    const { server } = network;
    await addNat(server, 4, 6);
    await addFirewall(server, "6000-6999");
  });

  for (const family of families) {
    for (const size of sizes) {
      test(`${size} bytes are served from the first, and \`from\` and \`miss: reject\` hold, IPv${family}`, async () => {
        const { server, client } = network;
        const { second, daemon, daemon2 } = addressesOf[family];
        await lab.open("app", "udp", daemon2, 6000);
        await untilRegistered(server);
        const before = server.faults().unsteered;
        const dial = async (port: number) =>
          await client.dial("udp", second, port, { length: size });
        for (const port of [6200, 6301]) {
          expect(await dial(port)).toMatchObject({
            tag: "app",
            length: size,
            repliedFrom: { address: second, port },
          });
        }
        expect(await dial(6300)).toMatchObject({ errno: refused });
        await openWild(family, 6400);
        expect(await dial(6400)).toMatchObject({ errno: refused });
        expect(server.faults().unsteered).toBe(before);
        await lab.open("kept", "udp", daemon, 6000);
        expect(await dial(6100)).toMatchObject({ errno: refused });
        expect(server.faults().unsteered).toBe(before + 1);
      });
    }
  }
});

describe.each(["a host without NAT", "behind NAT, with the daemon running"])(
  "IPv6 headers, %s",
  (host) => {
    const { public: dialled, client: clientAddress } = addressesOf[6];
    let ends: UdpEnds;

    beforeAll(async () => {
      const { server, client } = network;
      await removeRules(server);
      await server.stopStarted();
      await server.unload();
      if (host.startsWith("a host")) {
        await server.apply(rules);
      } else {
        await addNat(server, 4, 6);
        await server.startRun(["-f", server.file(rules)]);
      }
      ends = new UdpEnds(client);
    });

    test.each([
      { what: "five destination options headers", headers: 5 },
      { what: "twenty", headers: 20 },
      { what: "the fragment header of a whole datagram", atomic: true as const },
      { what: "that behind three", headers: 3, atomic: true as const },
    ])("$what: decided as in whole datagrams without them", async ({ what, ...crafted }) => {
      const { server, client } = network;
      await lab.open("app", "udp", daemons[3000]?.[6] ?? "", 6000);
      if (!host.startsWith("a host")) await untilRegistered(server);
      const selected = async (): Promise<number> =>
        (await server.mappings()).find(({ name }) => name === "small")?.counters.selected ?? 0;
      const before = [server.faults().unsteered, await selected()] as const;
      // What the kernel does with them for a listener on the dialled address: conntrack drops the
      // last kind.
      await lab.open("plain", "udp", dialled, 6900);
      const answers = async (port: number) => {
        const socket = await ends.open(6, { bind: [clientAddress, 0] });
        const from = [clientAddress, socket.local.port] as const;
        await sendCrafted(client, server, [{ from, to: [dialled, port], size: 200, ...crafted }]);
        const answer = await socket.tryReceive(lost ? 0.3 : 30);
        await socket.close();
        return "from" in answer ? answer.from.port : answer.error;
      };
      const lost = "headers" in crafted && "atomic" in crafted && !host.startsWith("a host");
      expect(await answers(6900), what).toBe(lost ? "ETIMEDOUT" : 6900);
      expect(await answers(6030), what).toBe(lost ? "ETIMEDOUT" : 6030);
      expect([server.faults().unsteered, await selected()]).toEqual([
        before[0],
        before[1] + (lost ? 0 : 1),
      ]);
    });
  },
);
