/**
 * What is promised of UDP beyond the single exchange (docs/udp.md): many clients, forgetting,
 * daemons of all kinds, ICMP.
 */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { join } from "node:path";
import type { Faults } from "../../src/dataplane/types.js";
import { addressesOf, families, type Family } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { pinRoot } from "../support/paths.js";
import { eventually, must, words } from "../support/process.js";
import type { Status } from "../support/shapes.js";
import { UdpEnds, type UdpSocket } from "../support/udp.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, 10.9.8.10, "fd5e:ed00::10"] }
  other: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { name: same, protocol: udp, port: 7000, to: [127.0.1.10, "fd5e:ed00::10"] }
  - { name: remap, protocol: udp, port: 7001, to: ["127.0.1.10:7000", "[fd5e:ed00::10]:7000"] }
  - { name: range, protocol: udp, port: 7100-7109, to: ["127.0.1.10:7000", "[fd5e:ed00::10]:7000"] }
  - { name: other, protocol: udp, port: 7200, to: other }
  - { name: wildcard, protocol: udp, port: 7300, to: "*:5353" }
  - { name: ten, protocol: udp, port: 7400, to: "10.9.8.10:7000" }
  - { name: ten-same, protocol: udp, port: 7000, on: 198.51.100.1/32, to: 10.9.8.10 }
  - { name: device, protocol: udp, port: 7500, interface: up0, to: ["127.0.1.10:7000", "[fd5e:ed00::10]:7000"] }
`;

interface UdpStatus extends Status {
  readonly flows: { readonly live: number; readonly capacity: number };
}

interface FlowRow {
  readonly client: { readonly address: string; readonly port: number };
  readonly dialled: { readonly address: string; readonly port: number };
  readonly daemon: { readonly address: string; readonly port: number };
  readonly mapping: string | null;
  readonly idle_s: number;
}

async function status(): Promise<UdpStatus> {
  return (await network.server.status()) as UdpStatus;
}

/** Returns the flows of these clients. */
async function flows(
  ...clients: readonly { readonly address: string; readonly port: number }[]
): Promise<readonly FlowRow[]> {
  const all = (await network.server.ask(["flows", "--json"])).json() as readonly FlowRow[];
  // Both: sockets of the two families may have the same port.
  return all.filter(({ client }) =>
    clients.some(({ address, port }) => address === client.address && port === client.port),
  );
}

/** What was counted since. */
function faultsSince(before: Faults): Pick<Faults, "unanswered" | "unsteered" | "flows"> {
  const { unanswered, unsteered, flows } = network.server.faults();
  return {
    unanswered: unanswered - before.unanswered,
    unsteered: unsteered - before.unsteered,
    flows: flows - before.flows,
  };
}

let ends: { server: UdpEnds; client: UdpEnds };

beforeAll(async () => {
  const { server } = network;
  // Spoofed sources are to come through.
  await server.must(
    words("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.up0.rp_filter=0"),
  );
  await server.apply(rules);
  ends = { server: new UdpEnds(server), client: new UdpEnds(network.client) };
});

afterEach(async () => {
  await ends.server.closeAll();
  await ends.client.closeAll();
});

async function daemonOf(
  family: Family,
  options: Parameters<UdpEnds["open"]>[1] = {},
): Promise<UdpSocket> {
  return await ends.server.open(family, {
    bind: [addressesOf[family].daemon, 7000],
    ...options,
  });
}

/**
 * A datagram of the client's, and what the daemon makes of it: where the client sees the reply come
 * from.
 */
async function exchange(client: UdpSocket, daemon: UdpSocket, address: string, port: number) {
  await client.send([address, port]);
  const asked = await daemon.receive();
  await daemon.send(asked.from);
  return (await client.receive()).from;
}

describe.each(families)("IPv%d: many at once", (family) => {
  const { public: first, second, elsewhere, daemon: own } = addressesOf[family];

  test("a hundred clients of three addresses and three mappings are all answered from what each dialled", async () => {
    const before = network.server.faults();
    const daemon = await daemonOf(family);
    const addresses = family === 4 ? [first, second] : [first, second, elsewhere];
    const clients: { socket: UdpSocket; address: string; port: number }[] = [];
    for (let n = 0; n < 100; n++) {
      const address = addresses[n % addresses.length] ?? first;
      const port = [7000, 7001, 7100 + (n % 10)][(n % 7) % 3] ?? 7000;
      const socket = await ends.client.open(family, { connect: [address, port] });
      await socket.send(null, n + 1);
      clients.push({ socket, address, port });
    }
    const asked = [];
    for (let n = 0; n < 100; n++) asked.push(await daemon.receive());
    for (const { from, size } of asked.toReversed()) await daemon.send(from, size);
    for (const [n, { socket, address, port }] of clients.entries()) {
      expect(await socket.receive()).toMatchObject({ size: n + 1, from: { address, port } });
    }
    const known = await flows(...clients.map(({ socket }) => socket.local));
    expect(known).toHaveLength(100);
    expect(known.filter(({ mapping }) => mapping === null)).toEqual([]);
    expect(faultsSince(before)).toEqual({ unanswered: 0, unsteered: 0, flows: 0 });
  });

  test("a client socket that dials two addresses is answered from the one it dialled last", async () => {
    const daemon = await daemonOf(family);
    const client = await ends.client.open(family);
    expect(await exchange(client, daemon, first, 7000)).toEqual({ address: first, port: 7000 });
    expect(await exchange(client, daemon, second, 7001)).toEqual({ address: second, port: 7001 });
    expect(await exchange(client, daemon, first, 7105)).toEqual({ address: first, port: 7105 });
    // Both before an answer: both answers come from the last.
    await client.send([first, 7000]);
    await client.send([second, 7001]);
    const { from } = await daemon.receive();
    expect((await daemon.receive()).from).toEqual(from);
    for (let n = 0; n < 2; n++) await daemon.send(from);
    for (let n = 0; n < 2; n++) {
      expect((await client.receive()).from).toEqual({ address: second, port: 7001 });
    }
    expect(await flows(from)).toHaveLength(1);
  });

  test("a daemon that chooses the source itself is exact even then", async () => {
    const daemon = await daemonOf(family, { options: ["pktinfo"] });
    const client = await ends.client.open(family);
    await client.send([first, 7000]);
    await client.send([second, 7000]);
    for (const dialled of [first, second]) {
      const { from, packetInfo } = await daemon.receive();
      expect(packetInfo).toBe(dialled);
      await daemon.send(from, 100, { from: dialled });
      expect((await client.receive()).from).toEqual({ address: dialled, port: 7000 });
    }
  });

  test("a client socket that talks to two daemons is answered by each from what it dialled", async () => {
    const daemon = await daemonOf(family);
    const other = await ends.server.open(family, { bind: [addressesOf[family].daemon2, 7200] });
    const client = await ends.client.open(family);
    await client.send([first, 7001]);
    await client.send([second, 7200]);
    const asked = await daemon.receive();
    await daemon.send(asked.from);
    expect((await client.receive()).from).toEqual({ address: first, port: 7001 });
    await other.send((await other.receive()).from);
    expect((await client.receive()).from).toEqual({ address: second, port: 7200 });
    expect(await flows(asked.from)).toEqual(
      expect.arrayContaining([
        {
          client: asked.from,
          dialled: { address: first, port: 7001 },
          daemon: { address: own, port: 7000 },
          mapping: "remap",
          idle_s: expect.any(Number) as number,
        },
      ]),
    );
  });
});

describe("flows", () => {
  const { public: address } = addressesOf[4];

  interface Entry {
    readonly key: readonly string[];
    readonly value: readonly string[];
  }

  /** The kernel's entry of a client; undefined: none. */
  async function entryOf(port: number): Promise<Entry | undefined> {
    const dump = await must(words(`bpftool -j map dump pinned ${await flowMap()}`));
    const bytes = [port & 255, port >> 8].map((byte) => `0x${byte.toString(16).padStart(2, "0")}`);
    return (JSON.parse(dump) as readonly Entry[]).find(
      ({ key }) => key[32] === bytes[0] && key[33] === bytes[1],
    );
  }

  /**
   * Lets a client's flow look as if nothing had been sent for so long, also on a machine that has
   * just been started.
   */
  async function age(port: number, seconds = 1000): Promise<void> {
    const seen = new Uint8Array(8);
    const then = process.hrtime.bigint() - BigInt(seconds) * 1_000_000_000n;
    new DataView(seen.buffer).setBigInt64(0, then, true);
    const map = await flowMap();
    const entry = await entryOf(port);
    if (entry === undefined) throw new Error("there is no flow");
    const value = entry.value.map((byte, at) => (at < 8 ? String(seen[at]) : byte));
    await must([...words(`bpftool map update pinned ${map} key`), ...entry.key, "value", ...value]);
  }

  async function flowMap(): Promise<string> {
    const folder = join(pinRoot, String(network.server.inode));
    const [registry] = (await must(["ls", folder])).match(/^registry-\d+$/m) ?? [];
    return join(folder, registry ?? "", "flows");
  }

  test("survive the daemon's death, and a change of the rules", async () => {
    const { server } = network;
    const file = server.file(rules);
    const run = await server.startRun(["-f", file]);
    const daemon = await daemonOf(4);
    const client = await ends.client.open(4, { connect: [address, 7105] });
    await client.send(null);
    const { from } = await daemon.receive();
    await run.stop("SIGKILL");
    await daemon.send(from, 1);
    expect(await client.receive()).toMatchObject({ size: 1 });
    await server.apply(`${rules}  - { name: more, protocol: udp, port: 7500, to: other }\n`);
    await daemon.send(from, 2);
    expect(await client.receive()).toMatchObject({ size: 2, from: { address, port: 7105 } });
  });

  test("end after 300 seconds of silence: the reply then leaves as without ilm, and is counted", async () => {
    const daemon = await daemonOf(4);
    const client = await ends.client.open(4, { connect: [address, 7000] });
    await client.send(null);
    const { from } = await daemon.receive();
    expect(await flows(from)).toHaveLength(1);
    const before = await status();
    const faultsBefore = network.server.faults();
    await age(from.port);
    expect(await flows(from)).toEqual([]);
    expect((await status()).flows.live).toBe(before.flows.live - 1);
    // The kernel routes nothing from 127.0.0.0/8 to another host.
    expect(await daemon.send(from)).toEqual({ error: "EINVAL" });
    expect(faultsSince(faultsBefore)).toMatchObject({ unanswered: 1 });
    expect(JSON.stringify((await status()).warnings)).toContain("dialled no mapping recently");
    expect(await exchangeAgain(client, daemon)).toEqual({ address, port: 7000 });
  });

  async function exchangeAgain(client: UdpSocket, daemon: UdpSocket) {
    await client.send(null);
    await daemon.send((await daemon.receive()).from);
    return (await client.receive()).from;
  }

  test("are kept by what the daemon sends", async () => {
    const daemon = await daemonOf(4);
    const client = await ends.client.open(4, { connect: [address, 7001] });
    await client.send(null);
    const { from } = await daemon.receive();
    await age(from.port, 250);
    expect((await flows(from))[0]?.idle_s).toBeGreaterThanOrEqual(250);
    await daemon.send(from);
    expect((await client.receive()).from).toEqual({ address, port: 7001 });
    expect((await flows(from))[0]?.idle_s).toBeLessThan(100);
  });

  test("that have ended are removed by run", async () => {
    const { server } = network;
    const daemon = await daemonOf(4);
    const client = await ends.client.open(4, { connect: [address, 7000] });
    await client.send(null);
    const { from } = await daemon.receive();
    await age(from.port);
    expect(await entryOf(from.port)).toBeDefined();
    const run = await server.startRun(["-f", server.file(rules)]);
    // It looks twice a minute.
    await eventually(
      "the flow is removed",
      async () => ((await entryOf(from.port)) === undefined ? true : null),
      45_000,
    );
    await run.stop();
  });

  test("a flood of spoofed sources forgets silent clients, not those who talk, and harms nothing else", async () => {
    const daemon = await daemonOf(4);
    const outside = await ends.client.open(4, { bind: ["203.0.113.100", 9999] });
    const ownAccount = await ends.server.open(4);
    const silent = await ends.client.open(4, { connect: [address, 7000] });
    const talking = await ends.client.open(4, { connect: [address, 7001] });
    const flooder = new UdpEnds(network.client);
    // Each CPU keeps its newest entries back from the list that is cut short
    // (kernel/bpf/bpf_lru_list.c, local lists).
    await ends.client.pin(0);
    await flooder.pin(0);
    await silent.send(null);
    const forgotten = (await daemon.receive()).from;
    await talking.send(null);
    await daemon.receive();
    const before = await status();
    const faultsBefore = network.server.faults();
    const { capacity } = before.flows;
    // In parts: the daemon's receive buffer is full of it each time.
    for (let part = 0; part < 8; part++) {
      expect(await flooder.flood([address, 7000], 25_000, 11 + part, 20)).toBe(25_000);
      await daemon.drain();
      await talking.send(null, 1000 + part);
      const got = await daemon.receive();
      expect(got.size).toBe(1000 + part);
      await daemon.send(got.from, part + 1);
      expect(await talking.receive()).toMatchObject({
        size: part + 1,
        from: { address, port: 7001 },
      });
      // What a daemon sends on its own account, from a socket that is no mapping's.
      await ownAccount.send(["203.0.113.100", 9999], part + 1);
      expect(await outside.receive()).toMatchObject({ size: part + 1, from: { address } });
    }
    await flooder.stop();
    const after = await status();
    expect(after.flows.live).toBeGreaterThan(capacity * 0.9);
    expect(after.flows.live).toBeLessThanOrEqual(capacity);
    expect(faultsSince(faultsBefore)).toMatchObject({ flows: 0, unanswered: 0 });
    expect(JSON.stringify(after.warnings)).toContain("UDP clients are recorded");
    // Forgotten: as without ilm, and counted; and as ever from its next datagram on.
    expect(await daemon.send(forgotten)).toEqual({ error: "EINVAL" });
    expect(faultsSince(faultsBefore)).toMatchObject({ unanswered: 1 });
    expect(await exchangeAgain(silent, daemon)).toEqual({ address, port: 7000 });
  });
});

describe.each(families)("IPv%d: daemons that do it themselves", (family) => {
  const {
    public: first,
    second,
    wildcard,
    daemon: own,
    client: clientAddress,
  } = addressesOf[family];

  test("a wildcard listener with packet information sees what was dialled, and answers from it once", async () => {
    const daemon = await ends.server.open(family, {
      bind: [wildcard, 5353],
      options: ["pktinfo", "origdst", ...(family === 6 ? (["v6only"] as const) : [])],
    });
    for (const dialled of [first, second]) {
      const client = await ends.client.open(family, { connect: [dialled, 7300] });
      await client.send(null);
      const asked = await daemon.receive();
      expect(asked).toMatchObject({
        packetInfo: dialled,
        original: { address: dialled, port: 7300 },
      });
      await daemon.send(asked.from, 100, { from: dialled });
      expect((await client.receive()).from).toEqual({ address: dialled, port: 7300 });
      // Without choosing, it is right too.
      await daemon.send(asked.from);
      expect((await client.receive()).from).toEqual({ address: dialled, port: 7300 });
    }
  });

  test("a source that the daemon chose is kept, though another was dialled", async () => {
    const daemon = await daemonOf(family, { options: ["pktinfo"] });
    const client = await ends.client.open(family);
    await client.send([second, 7000]);
    const { from } = await daemon.receive();
    await daemon.send(from, 100, { from: first });
    expect((await client.receive()).from).toEqual({ address: first, port: 7000 });
  });

  test("what a daemon sends on its own account leaves as without ilm", async () => {
    const daemon = await daemonOf(family);
    const upstream = await ends.client.open(family, { bind: [clientAddress, 9999] });
    const sent = await daemon.send([clientAddress, 9999]);
    if (family === 4) {
      expect(sent).toEqual({ error: "EINVAL" });
    } else {
      expect((await upstream.receive()).from).toEqual({ address: own, port: 7000 });
    }
    const query = await ends.server.open(family);
    await query.send([clientAddress, 9999]);
    const asked = await upstream.receive();
    expect(asked.from.address).not.toBe(own);
    await upstream.send(asked.from);
    expect(await query.receive()).toMatchObject({ from: { address: clientAddress, port: 9999 } });
  });
});

test("a dual-stack wildcard listener answers IPv4 clients from what they dialled", async () => {
  const daemon = await ends.server.open(6, { bind: ["::", 5353], options: ["dualstack"] });
  const client = await ends.client.open(4, { connect: ["203.0.113.5", 7300] });
  await client.send(null);
  const { from } = await daemon.receive();
  await daemon.send([`::ffff:${from.address}`, from.port]);
  expect((await client.receive()).from).toEqual({ address: "203.0.113.5", port: 7300 });
});

describe("connected children", () => {
  const cases = [
    {
      title: "IPv6, the same port",
      family: 6,
      own: "fd5e:ed00::10",
      dialled: ["2001:db8::5", 7000],
    },
    { title: "IPv6, a remap", family: 6, own: "fd5e:ed00::10", dialled: ["2001:db8::5", 7001] },
    {
      title: "IPv4 outside 127.0.0.0/8, the same port",
      family: 4,
      own: "10.9.8.10",
      dialled: ["198.51.100.1", 7000],
    },
    {
      title: "IPv4 outside 127.0.0.0/8, a remap",
      family: 4,
      own: "10.9.8.10",
      dialled: ["203.0.113.5", 7400],
    },
  ] as const;

  test.each(
    cases.flatMap((one) =>
      (["reuseport", "reuseaddr"] as const).map((share) => ({ ...one, share })),
    ),
  )(
    "$title, $share: the child gets its client's datagrams, and answers from what was dialled",
    async ({ family, own, dialled: [address, port], share }) => {
      const listener = await ends.server.open(family, { bind: [own, 7000], options: [share] });
      const client = await ends.client.open(family, { connect: [address, port] });
      await client.send(null, 1);
      const { from } = await listener.receive();
      const child = await ends.server.open(family, {
        bind: [own, 7000],
        options: [share],
        connect: [from.address, from.port],
      });
      // In one packet, and in fragments, and in segments.
      for (const [size, options] of [
        [10, {}],
        [5000, {}],
        [3000, { segment: 1000 }],
      ] as const) {
        await client.send(null, 2);
        expect(await child.receive()).toMatchObject({ size: 2, from });
        await child.send(null, size, options);
        let left: number = size;
        while (left > 0) {
          const answer = await client.receive();
          expect(answer.from).toEqual({ address, port });
          left -= answer.size;
        }
      }
      // Others still come to the listener, and are answered.
      const another = await ends.client.open(family, { connect: [address, port] });
      await another.send(null, 3);
      const asked = await listener.receive();
      expect(asked).toMatchObject({ size: 3, from: { port: another.local.port } });
      await listener.send(asked.from);
      expect((await another.receive()).from).toEqual({ address, port });
      expect(await listener.tryReceive()).toEqual({ error: "ETIMEDOUT" });
    },
  );

  test("IPv4 inside 127.0.0.0/8: the kernel refuses to connect them", async () => {
    const child = await ends.server.tryOpen(4, {
      bind: ["127.0.1.10", 7000],
      options: ["reuseport"],
      connect: ["203.0.113.100", 40_000],
    });
    expect(child).toEqual({ error: "EINVAL" });
  });

  test("a child on the dialled address, as TFTP servers make it, is no business of ilm's", async () => {
    const listener = await daemonOf(4, { options: ["pktinfo"] });
    const client = await ends.client.open(4);
    await client.send(["203.0.113.5", 7000]);
    const { from, packetInfo } = await listener.receive();
    const child = await ends.server.open(4, {
      bind: [packetInfo ?? "", 0],
      connect: [from.address, from.port],
    });
    await child.send(null);
    const answer = await client.receive();
    expect(answer.from).toEqual(child.local);
    await client.send(answer.from);
    expect(await child.receive()).toMatchObject({ from });
  });
});

describe.each(families)("IPv%d: ICMP", (family) => {
  const { second, client: clientAddress } = addressesOf[family];
  // net/uapi/linux/icmp.h, icmpv6.h
  const unreachable = family === 4 ? { type: 3, code: 3 } : { type: 1, code: 4 };

  test.each([7000, 7001])(
    "port %d: a daemon that is down is an error that names what was dialled",
    async (port) => {
      const client = await ends.client.open(family, {
        connect: [second, port],
        options: ["recverr"],
      });
      await client.send(null);
      expect(await client.failure()).toMatchObject({
        errno: "ECONNREFUSED",
        ...unreachable,
        offender: second,
        to: { address: second, port },
      });
    },
  );

  test.each([7000, 7001, 7500])(
    "port %d: a client that is gone is an error that reaches the daemon",
    async (port) => {
      const daemon = await daemonOf(family, { options: ["recverr"] });
      const client = await ends.client.open(family, {
        bind: [clientAddress, 0],
        connect: [second, port],
      });
      await client.send(null);
      const { from } = await daemon.receive();
      await client.close();
      await daemon.send(from);
      expect(await daemon.failure()).toMatchObject({
        errno: "ECONNREFUSED",
        ...unreachable,
        offender: clientAddress,
        to: from,
      });
    },
  );

  test("a request in fragments is refused, and counted", async () => {
    const errorsOfSame = async (): Promise<number> =>
      (await network.server.mappings()).find(({ name }) => name === "same")?.counters.errors ?? 0;
    const before = network.server.faults();
    const errors = await errorsOfSame();
    const daemon = await daemonOf(family);
    const client = await ends.client.open(family, {
      connect: [second, 7000],
      options: ["recverr"],
    });
    await client.send(null, 5000);
    expect(await client.failure()).toMatchObject({ errno: "ECONNREFUSED", offender: second });
    expect(await daemon.tryReceive()).toEqual({ error: "ETIMEDOUT" });
    expect(faultsSince(before)).toMatchObject({ unsteered: 1 });
    expect(JSON.stringify((await status()).warnings)).toContain("in fragments");
    expect(await errorsOfSame()).toBe(errors + 1);
  });
});

test("an interface that came after the rules is warned of, until they are applied again", async () => {
  const { server } = network;
  await server.must(words("ip link add late0 type veth peer name late1"));
  try {
    const kinds = async (): Promise<string> => JSON.stringify((await status()).warnings);
    expect(await kinds()).toMatch(/the interfaces late[01], late[01] were added/);
    await server.apply(rules);
    expect(await kinds()).not.toContain("interface-uncovered");
  } finally {
    await server.must(words("ip link del late0"));
  }
});
