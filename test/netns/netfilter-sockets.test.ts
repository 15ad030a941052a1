/**
 * What sockets notice of being in a socket map, who refuses to be, and answers to clients that talk
 * to several.
 */
import { afterEach, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families, protocols } from "../support/matrix.js";
import { addNat, removeRules, untilRegistered } from "../support/neighbours.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork } from "../support/network.js";
import { run as command, words } from "../support/process.js";
import type { IlmRun } from "../support/server.js";
import { UdpEnds, type UdpSocket } from "../support/udp.js";

const network = useNetwork();
let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

function rulesWith(handover: "auto" | "lookup" | "ingress"): string {
  return `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], handover: ${handover} }
  other: { address: [127.0.1.11, "fd5e:ed00::11"], handover: ${handover} }
mappings:
  - { name: same, protocol: [tcp, udp], port: 6000, to: app }
  - { name: moved, protocol: udp, port: 6001, to: "app:6000" }
  - { name: other, protocol: udp, port: 6002, to: "other:6000" }
`;
}

let run: IlmRun | null = null;
const started: UdpEnds[] = [];

/** Ends at the server or the client, for one test. */
function endsOf(namespace: Namespace): UdpEnds {
  const ends = new UdpEnds(namespace);
  started.push(ends);
  return ends;
}

afterEach(async () => {
  await removeRules(network.server);
  await run?.stop();
  run = null;
  for (const ends of started.splice(0)) await ends.stop();
});

async function handovers(protocol: string, address: string): Promise<readonly string[]> {
  const rows = await network.server.listeners();
  return rows
    .filter((row) => row.protocol === protocol && row.address === address)
    .map(({ handover }) => handover);
}

describe.each([
  { host: "ingress", handover: "ingress", nat: false },
  { host: "lookup", handover: "lookup", nat: false },
  { host: "NAT, with the daemon running", handover: "auto", nat: true },
] as const)("one client socket that talks to several, $host", ({ handover, nat }) => {
  test.each(families)("each reply comes from what was dialled, IPv%d", async (family) => {
    const { server, client } = network;
    const { public: dialled, second, daemon, daemon2, loopback } = addressesOf[family];
    const rules = rulesWith(handover);
    if (nat) await addNat(server, 4, 6);
    if (nat) run = await server.startRun(["-f", server.file(rules)]);
    else await server.apply(rules);
    const ends = endsOf(server);
    const app = await ends.open(family, { bind: [daemon, 6000] });
    const other = await ends.open(family, { bind: [daemon2, 6000] });
    if (nat) await untilRegistered(server);
    else await server.apply(rules);
    const outside = await endsOf(client).open(family);
    const inside = await endsOf(server).open(family);
    const exchange = async (from: UdpSocket, to: readonly [string, number], who: UdpSocket) => {
      await from.send(to);
      await who.send((await who.receive()).from);
      expect((await from.receive()).from).toEqual({ address: to[0], port: to[1] });
    };
    for (let turn = 0; turn < 3; turn++) {
      await exchange(outside, [dialled, 6000], app);
      await exchange(outside, [dialled, 6002], other);
      await exchange(outside, [second, 6001], app);
      await exchange(outside, [second, 6002], other);
      // The daemon itself, which only the machine can reach over IPv4.
      if (family === 6) await exchange(outside, [daemon, 6000], app);
      await exchange(inside, [loopback, 6001], app);
      await exchange(inside, [daemon, 6000], app);
      await exchange(inside, [loopback, 6002], other);
      await exchange(inside, [daemon2, 6000], other);
      await exchange(inside, [dialled, 6001], app);
    }
    // Two requests on the way at once, of two daemons.
    await outside.send([dialled, 6001]);
    await outside.send([second, 6002]);
    await app.send((await app.receive()).from);
    expect((await outside.receive()).from).toEqual({ address: dialled, port: 6001 });
    await other.send((await other.receive()).from);
    expect((await outside.receive()).from).toEqual({ address: second, port: 6002 });
    expect(server.faults()).toMatchObject({ unanswered: 0, flows: 0 });
  });
});

describe("a daemon with a REUSEPORT_SOCKARRAY of its own", () => {
  const options = ["reuseport"] as const;

  for (const protocol of protocols) {
    for (const family of families) {
      const { label, public: dialled, daemon } = addressesOf[family];
      const open = async (): Promise<void> => {
        for (const name of ["a", "b"]) await lab.open(name, protocol, daemon, 6000, { options });
      };
      const fill = async () => await lab.ask({ do: "array", name: "a", members: ["b", "a"] });
      const answers = async (): Promise<readonly string[]> => {
        const seen = new Set<string>();
        for (let n = 0; n < 20; n++) seen.add(await network.client.who(protocol, dialled, 6000));
        return [...seen];
      };
      // Before its rules the host has not the address.
      const prepare = async (): Promise<void> => {
        await network.server.apply(rulesWith("ingress"));
        await open();
      };

      test(`${protocol} sockets that are registered are busy for it, ${label}`, async () => {
        const { server } = network;
        await prepare();
        await server.apply(rulesWith("lookup"));
        expect(await handovers(protocol, daemon)).toEqual(["sockmap", "sockmap"]);
        expect(await fill()).toMatchObject({ done: false, errno: "EBUSY" });
        // What it is told: with that it works.
        await server.apply(rulesWith("ingress"));
        expect(await fill()).toMatchObject({ done: true });
        expect(await handovers(protocol, daemon)).toEqual(["ingress", "ingress"]);
        expect(await answers()).toEqual(["b"]);
      });

      test(`${protocol} sockets that are in it already stay there, and are served at ingress, ${label}`, async () => {
        const { server } = network;
        await prepare();
        expect(await fill()).toMatchObject({ done: true });
        for (const handover of ["ingress", "auto", "lookup"] as const) {
          await server.apply(rulesWith(handover));
          expect(await handovers(protocol, daemon)).toEqual(["ingress", "ingress"]);
          expect(await answers()).toEqual(["b"]);
        }
        const { faults } = (await server.status()) as unknown as { readonly faults: object };
        expect(faults).toMatchObject({ unplaced: 0, unsteered: 0 });
      });
    }
  }

  for (const family of families) {
    test(`UDP sockets that are registered because of NAT are busy for it, IPv${family}`, async () => {
      const { server } = network;
      const { daemon } = addressesOf[family];
      await addNat(server, 4, 6);
      run = await server.startRun(["-f", server.file(rulesWith("auto"))]);
      for (const name of ["a", "b"]) await lab.open(name, "udp", daemon, 6000, { options });
      await untilRegistered(server);
      expect(await lab.ask({ do: "array", name: "a", members: ["b", "a"] })).toMatchObject({
        errno: "EBUSY",
      });
    });
  }
});

describe("FIONREAD of a UDP socket", () => {
  for (const family of families) {
    test(`is right at ingress, and 0 on this kernel when it is registered, IPv${family}`, async () => {
      const { server, client } = network;
      const { public: dialled, daemon } = addressesOf[family];
      await server.apply(rulesWith("ingress"));
      await lab.open("app", "udp", daemon, 6000);
      await lab.do("hold", "app");
      const queued = async () => {
        await client.dial("udp", dialled, 6000, { length: 77, connected: false, timeout_s: 0.01 });
        return await lab.look("app");
      };
      expect(await queued()).toMatchObject({ events: 1, queued: 77, length: 77, left: 0 });
      await server.apply(rulesWith("lookup"));
      expect(await queued()).toMatchObject({ events: 1, queued: 0, length: 77, left: 0 });
      await server.apply(rulesWith("ingress"));
      expect(await queued()).toMatchObject({ events: 1, queued: 77, length: 77 });
    });
  }
});

describe("a tunnel of the kernel as the daemon", () => {
  test.each(["auto", "lookup"] as const)(
    "a VXLAN socket, which a socket map refuses, is served at ingress: handover: %s",
    async (handover) => {
      const { server, client } = network;
      const rules = `
version: 1
mappings:
  - { name: tunnel-${handover}, protocol: udp, port: 14789, to: "*:4789", handover: ${handover} }
`;
      try {
        await server.must(
          words(
            "ip link add vx0 type vxlan id 7 dstport 4789 local 203.0.113.1 remote 203.0.113.100 dev up0",
          ),
        );
        await server.must(words("ip addr add 192.0.2.1/24 dev vx0"));
        await server.must(words("ip link set vx0 address 02:00:00:00:00:01 up"));
        await client.must(
          words(
            "ip link add vx0 type vxlan id 7 dstport 14789 local 203.0.113.100 remote 203.0.113.1 dev up0",
          ),
        );
        await client.must(words("ip addr add 192.0.2.2/24 dev vx0"));
        await client.must(words("ip link set vx0 address 02:00:00:00:00:02 up"));
        await client.must(words("ip neigh replace 192.0.2.1 lladdr 02:00:00:00:00:01 dev vx0"));
        await server.apply(rules);
        const rows = await server.listeners();
        expect(rows.filter(({ port }) => port === 4789).map(({ handover: by }) => by)).toEqual(
          rows.filter(({ port }) => port === 4789).map(() => "ingress"),
        );
        expect(rows.some(({ port }) => port === 4789)).toBe(true);
        await lab.open("inside", "udp", "192.0.2.1", 9000);
        await lab.do("hold", "inside");
        // Its answers go to the port of the tunnel: one way is what there is to see.
        await client.dial("udp", "192.0.2.1", 9000, {
          length: 33,
          connected: false,
          timeout_s: 0.01,
        });
        expect(await lab.look("inside")).toMatchObject({ length: 33 });
        const [tunnel] = await server.mappings();
        expect(tunnel?.counters).toMatchObject({ missed: 0, errors: 0 });
        expect(tunnel?.counters.selected).toBeGreaterThan(0);
        expect(server.faults()).toMatchObject({ unplaced: 0, unsteered: 0 });
      } finally {
        // The client's end first: what it sends unasked would find nobody, and be counted.
        for (const { name } of [client, server]) await command(words(`ip -n ${name} link del vx0`));
      }
    },
  );

  test.each(families)(
    "what IPsec takes of a UDP socket on a private address is counted, though it reaches no queue, IPv%i",
    async (family) => {
      const { server, client } = network;
      const { public: dialled, daemon } = addressesOf[family];
      await server.apply(rulesWith("auto"));
      await lab.open("ike", "udp", daemon, 6000, { options: ["encap"] });
      await lab.do("hold", "ike");
      const selected = async (): Promise<readonly (readonly [string, number])[]> =>
        (await server.mappings())
          .filter(({ protocol }) => protocol === "udp")
          .map(({ name, counters }) => [name, counters.selected]);
      const before = new Map(await selected());
      for (const port of [6000, 6001]) {
        await client.dial("udp", dialled, port, { length: 64, connected: false, timeout_s: 0.01 });
      }
      expect(await lab.look("ike")).toMatchObject({ events: 0 });
      const more = (await selected()).map(([name, now]) => [name, now - (before.get(name) ?? 0)]);
      expect(more).toEqual([
        ["same", 1],
        ["moved", 1],
        ["other", 0],
      ]);
    },
  );
});
