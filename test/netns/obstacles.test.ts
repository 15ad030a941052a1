/**
 * `explain` says "selected" of what reaches the daemon alone: each verdict is held against a real
 * dial, with something in the way.
 */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { explain as ask, type Explained } from "../support/explain.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, endpoint, families, type Protocol } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { words } from "../support/process.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: [tcp, udp], port: 6001, to: app, interface: lo }
`;

let lab: Lab;
useLab(network, (started) => {
  lab = started;
});

beforeAll(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await network.server.stopStarted();
});

const explain = async (
  protocol: Protocol,
  address: string,
  port: number,
  ...more: readonly string[]
): Promise<Explained> => await ask(network.server, protocol, address, port, ...more);

for (const family of families) {
  const cell = addressesOf[family];
  const foreign = family === 4 ? "203.0.113.77" : "2001:db8:77::77";
  const prefix = `${foreign}/${family === 4 ? 32 : 128}`;

  describe(`over ${cell.label}`, () => {
    test.each(["tcp", "udp"] as const)(
      "an address that the host lacks is blocked until there is the AnyIP route that the remedy says, %s",
      async (protocol) => {
        const { server, client } = network;
        await lab.open("app", protocol, cell.daemon, 6000);
        // The client takes the server for the router to it.
        await client.must(["ip", "route", "replace", prefix, "via", cell.public]);
        const before = await explain(protocol, foreign, 6000);
        expect(before).toMatchObject({ verdict: "blocked", decision: "selected" });
        expect(before.obstacles).toMatchObject([{ kind: "route", sure: true }]);
        expect(await client.who(protocol, foreign, 6000, { timeout_s: 0.5 })).not.toBe("app");
        const [, command = ""] =
          /(ip route add local \S+ dev lo)/.exec(before.obstacles[0]?.remedy ?? "") ?? [];
        await server.must(words(command));
        try {
          expect(await explain(protocol, foreign, 6000)).toMatchObject({
            verdict: "selected",
            obstacles: [],
          });
          expect(await client.who(protocol, foreign, 6000)).toBe("app");
        } finally {
          await server.must(["ip", "route", "del", "local", prefix, "dev", "lo"]);
        }
      },
    );

    test.each(["unreachable", "blackhole", "prohibit"])(
      "so is one whose route is of the type %s",
      async (type) => {
        const { server } = network;
        await server.must(["ip", "route", "add", type, prefix]);
        try {
          const { verdict, obstacles } = await explain("tcp", foreign, 6000);
          expect([verdict, obstacles.map(({ kind }) => kind)]).toEqual(["blocked", ["route"]]);
        } finally {
          await server.must(["ip", "route", "del", type, prefix]);
        }
      },
    );

    test.each(["tcp", "udp"] as const)(
      "a listener that is bound to a device has what the kernel gives it, on the interface that has the address, %s",
      async (protocol) => {
        const { server } = network;
        await lab.open("app", protocol, cell.daemon, 6000);
        await lab.open("bound", protocol, cell.loopback, 6000, { device: "lo" });
        await lab.open("elsewhere", protocol, cell.public, 6000, { device: "lo" });
        for (const [address, verdict, who] of [
          [cell.loopback, "existing", "bound"],
          [cell.public, "selected", "app"],
        ] as const) {
          expect((await explain(protocol, address, 6000)).verdict, address).toBe(verdict);
          expect(await server.who(protocol, address, 6000)).toBe(who);
        }
        const table = (await server.ask(["listeners"])).stdout;
        expect(table).toContain(endpoint(`${cell.loopback}%lo`, 6000));
        const shown = await explain(protocol, cell.loopback, 6000);
        expect(shown.steps.at(-1)).toContain(endpoint(`${cell.loopback}%lo`, 6000));
      },
    );

    test("a mapping for an interface is explained for the interface that has the address, or the one that is named", async () => {
      await lab.open("app", "tcp", cell.daemon, 6001);
      const found = [
        await explain("tcp", cell.loopback, 6001),
        await explain("tcp", cell.public, 6001),
        await explain("tcp", cell.public, 6001, "--interface", "lo"),
      ];
      expect(found.map(({ verdict }) => verdict)).toEqual(["selected", "unmanaged", "selected"]);
      expect(await network.server.who("tcp", cell.loopback, 6001)).toBe("app");
      expect(await network.client.who("tcp", cell.public, 6001)).toBe("ECONNREFUSED");
    });

    test("a program of others that is asked for sockets too may change it, so the verdict says if", async () => {
      const { server } = network;
      await lab.open("app", "tcp", cell.daemon, 6000);
      const stranger = server.startPython("foreign_sk_lookup.py", []);
      await stranger.waitForOutput(/attached/);
      const { verdict, obstacles, steps } = await explain("tcp", cell.public, 6000);
      expect([verdict, obstacles.map(({ kind, sure }) => [kind, sure])]).toEqual([
        "selected",
        [["program", false]],
      ]);
      expect(steps.at(-1)).toMatch(/gets the connection, if it comes so far$/);
    });

    test("a program that came before ours at ingress may keep datagrams, but not what sk_lookup selects", async () => {
      const { server } = network;
      for (const protocol of ["tcp", "udp"] as const) {
        await lab.open(protocol, protocol, cell.daemon, 6000);
      }
      const pass = 0;
      const stranger = server.startPython("foreign_tcx.py", [
        "up0",
        "ingress",
        String(pass),
        "first",
      ]);
      await stranger.waitForOutput(/attached/);
      expect((await explain("tcp", cell.public, 6000)).obstacles).toEqual([]);
      const udp = await explain("udp", cell.public, 6000);
      expect(udp.obstacles).toMatchObject([{ kind: "program", sure: false }]);
    });
  });
}

test("a source that the kernel refuses on an interface is blocked: rp_filter, and a stranger to 127.0.0.0/8", async () => {
  const { server, client } = network;
  await lab.open("app", "tcp", "127.0.1.10", 6000);
  const source = "192.0.2.9";
  await client.must(["ip", "addr", "add", `${source}/32`, "dev", "up0"]);
  const asked = async () =>
    (await explain("tcp", "203.0.113.1", 6000, "--from", `${source}:5555`, "--interface", "up0"))
      .obstacles;
  const dial = async () =>
    await client.who("tcp", "203.0.113.1", 6000, {
      from: [source, 0],
      timeout_s: 0.5,
    });
  await server.must(["ip", "route", "add", `${source}/32`, "dev", "up0"]);
  await server.must(["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1"]);
  try {
    expect([await asked(), await dial()]).toEqual([[], "app"]);
    await server.must(["ip", "route", "replace", `${source}/32`, "dev", "lo"]);
    expect(await asked()).toMatchObject([{ kind: "source", sure: true }]);
    expect(await dial()).not.toBe("app");
  } finally {
    await server.must(["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"]);
    await server.must(["ip", "route", "del", `${source}/32`]);
    await client.must(["ip", "addr", "del", `${source}/32`, "dev", "up0"]);
  }
  const martian = await explain(
    "tcp",
    "127.0.0.1",
    6000,
    "--from",
    "203.0.113.100:5555",
    "--interface",
    "up0",
  );
  expect(martian).toMatchObject({
    verdict: "blocked",
    obstacles: [{ kind: "source", sure: true }],
  });
});
