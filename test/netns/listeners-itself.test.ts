/**
 * What the machine sends to itself: it all comes over lo, but to the kernel's sockets it arrives on
 * the interface that has the dialled address (net/ipv4/route.c, ip_route_output_key_hash_rcu;
 * net/ipv6/ip6_input.c, ip6_rcv_core). Listeners that are bound to a device, and mappings for an
 * interface, are held to that: with the kernel's own answer beside it.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { DialOptions } from "../support/dialler.js";
import { kinds, type Lab, protocolOf, useLab } from "../support/lab.js";
import { pinnedPaths } from "../support/kernel-state.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { pinRoot } from "../support/paths.js";
import { must } from "../support/process.js";

const network = useNetwork();
const nobody = "ECONNREFUSED";

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  spare: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: [app, spare] }
  - { protocol: [tcp, udp], port: 6001, to: app, existing: any }
  - { protocol: [tcp, udp], port: 6002, to: app, interface: up0 }
  - { protocol: [tcp, udp], port: 6003, to: app, interface: lo }
  - { protocol: [tcp, udp], port: 40000-40009, to: "app:6009" }
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
  for (const kind of kinds) {
    describe(`${kind} over ${cell.label}`, () => {
      const options = ["freebind", "reuseport"] as const;
      const dial = async (address: string, port: number, more: DialOptions = {}): Promise<string> =>
        await network.server.who(protocolOf(kind), address, port, more);
      /** To the public address, which is up0's, and to the loopback address, which is lo's. */
      const both = async (port: number): Promise<readonly string[]> => [
        await dial(cell.public, port),
        await dial(cell.loopback, port),
      ];

      test("the kernel's own rule: a listener bound to a device takes what is for that device's addresses", async () => {
        for (const device of ["up0", "lo"]) {
          await lab.open("public", kind, cell.public, 7000, { device, options });
          await lab.open("loopback", kind, cell.loopback, 7000, { device, options });
          const expected = device === "up0" ? ["public", nobody] : [nobody, "loopback"];
          expect(await both(7000)).toEqual(expected);
          for (const name of ["public", "loopback"]) await lab.do("close", name);
        }
      });

      test("a destination that is bound to lo takes what is for lo's addresses", async () => {
        await lab.open("on lo", kind, cell.daemon, 6000, { device: "lo" });
        expect(await both(6000)).toEqual([nobody, "on lo"]);
        await lab.open("spare", kind, cell.daemon2, 6000);
        expect(await both(6000)).toEqual(["spare", "on lo"]);
      });

      test(`a destination that is bound to the interface ${kind === "tcp" ? "takes what is for its addresses" : "is not there"}`, async () => {
        await lab.open("on up0", kind, cell.daemon, 6000, { device: "up0" });
        expect(await both(6000)).toEqual([kind === "tcp" ? "on up0" : nobody, nobody]);
        await lab.open("spare", kind, cell.daemon2, 6000);
        expect(await both(6000)).toEqual([kind === "tcp" ? "on up0" : "spare", "spare"]);
      });

      const fate = kind === "tcp" ? "takes the rest" : "may be hidden by it";
      test(`beside one that is bound to lo, a destination that is bound to none ${fate}`, async () => {
        const openApp = async (): Promise<void> => {
          await lab.open("app", kind, cell.daemon, 6000, { options });
        };
        // Of those with SO_REUSEPORT the kernel takes the first of its list
        // (net/ipv4/inet_hashtables.c, inet_lhash2_lookup), to which IPv4 adds in front and IPv6
        // behind.
        if (family === 4) await openApp();
        await lab.open("on lo", kind, cell.daemon, 6000, { device: "lo", options });
        if (family === 6) await openApp();
        await lab.open("spare", kind, cell.daemon2, 6000);
        expect(await both(6000)).toEqual([kind === "tcp" ? "app" : "spare", "on lo"]);
      });

      test("a destination that is bound to none takes both, also beside one that is bound to another device", async () => {
        await lab.open("app", kind, cell.daemon, 6000, { options });
        expect(await both(6000)).toEqual(["app", "app"]);
        await lab.open("other", kind, cell.daemon2, 7001, { device: "up0" });
        expect(await both(6000)).toEqual(["app", "app"]);
      });

      test("a listener on exactly what is dialled keeps it if the kernel would give it to that", async () => {
        await lab.open("app", kind, cell.daemon, 6000);
        for (const device of ["up0", "lo"]) {
          await lab.open("public", kind, cell.public, 6000, { device, options });
          await lab.open("loopback", kind, cell.loopback, 6000, { device, options });
          const expected = device === "up0" ? ["public", "app"] : ["app", "loopback"];
          expect(await both(6000)).toEqual(expected);
          for (const name of ["public", "loopback"]) await lab.do("close", name);
        }
      });

      test("so does one on the wildcard address with `existing: any`", async () => {
        await lab.open("app", kind, cell.daemon, 6001, { options });
        for (const device of ["up0", "lo"]) {
          await lab.open("wild", kind, cell.wildcard, 6001, { device, options: ["reuseport"] });
          expect(await both(6001)).toEqual(device === "up0" ? ["wild", "app"] : ["app", "wild"]);
          await lab.do("close", "wild");
        }
      });

      test("a mapping for an interface is for what is dialled on its addresses", async () => {
        for (const port of [6002, 6003]) await lab.open(`app${port}`, kind, cell.daemon, port);
        expect(await both(6002)).toEqual(["app6002", nobody]);
        expect(await both(6003)).toEqual([nobody, "app6003"]);
      });

      test("a client that is bound to the interface hears its answers on a mapped port", async () => {
        await lab.open("app", kind, cell.daemon, 6009);
        await lab.open("other", "tcp", cell.daemon2, 7002, { device: "up0" });
        await lab.open("exact", kind, cell.public, 7003, { options });
        const from = [cell.public, 40001] as const;
        expect(await dial(cell.public, 7003, { from, device: "up0" })).toBe("exact");
      });

      const heard = kind === "udp" ? "does not hear them" : "hears them too";
      test(`one that the kernel gave its port ${heard}`, async () => {
        const { server } = network;
        const range = "/proc/sys/net/ipv4/ip_local_port_range";
        const before = await server.must(["cat", range]);
        await server.must(["sh", "-c", `echo 40000 40009 > ${range}`]);
        try {
          await lab.open("app", kind, cell.daemon, 6009);
          await lab.open("exact", kind, cell.public, 7003, { options });
          const silence = kind === "udp" ? { timeout_s: 2 } : {};
          const answer = await dial(cell.public, 7003, { device: "up0", ...silence });
          expect(answer).toBe(kind === "udp" ? "ETIMEDOUT" : "exact");
        } finally {
          await server.must(["sh", "-c", `echo ${before.trim()} > ${range}`]);
        }
      });
    });
  }

  for (const kind of ["tcp", "mptcp"] as const) {
    test(`with SYN cookies a connection of the machine to itself comes to the listener, ${kind} over ${cell.label}`, async () => {
      const { server } = network;
      await server.must(["sh", "-c", "echo 2 > /proc/sys/net/ipv4/tcp_syncookies"]);
      try {
        await lab.open("app", kind, cell.daemon, 6000);
        for (const other of [false, true]) {
          // Somebody who is bound to a device makes a difference to ingress.
          if (other) await lab.open("other", kind, cell.daemon2, 7004, { device: "up0" });
          for (const address of [cell.public, cell.loopback]) {
            expect(await server.who("tcp", address, 6000)).toBe("app");
          }
        }
      } finally {
        await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_syncookies"]);
      }
    });
  }
}

test("a socket of another program that is bound to a device costs no look-up its short way, on any address but a destination", async () => {
  const { server } = network;
  /** How many such sockets the look-up reckons with: with none it takes the short way. */
  const reckoned = async (): Promise<number> => {
    const map = pinnedPaths(server.inode).find((path) => path.endsWith("/destined_on_device"));
    const dump = ["bpftool", "-j", "map", "dump", "pinned", `${pinRoot}/${map ?? ""}`];
    const [entry] = JSON.parse(await must(dump)) as readonly {
      readonly value: readonly string[];
    }[];
    return Buffer.from((entry?.value ?? []).map(Number)).readUInt32LE(0);
  };
  for (const kind of kinds) {
    for (const family of families) {
      const { wildcard, public: address, loopback } = addressesOf[family];
      const at = (port: number, on: string) =>
        lab.open(`${on} ${port}`, kind, on, port, { device: "lo" });
      for (const port of [6000, 6002, 7005]) {
        for (const on of [wildcard, address, loopback]) {
          await at(port, on);
          expect(await reckoned(), `${kind} on ${on}:${port}`).toBe(0);
          await lab.do("close", `${on} ${port}`);
        }
      }
    }
  }
  await lab.open("destination", "tcp", addressesOf[4].daemon, 6000, { device: "lo" });
  expect(await reckoned()).toBe(1);
});
