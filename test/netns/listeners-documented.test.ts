/** What docs/listeners.md says beside its table. */
import { beforeAll, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { type Kind, kinds, type Lab, protocolOf, useLab } from "../support/lab.js";
import { addressesOf, endpoint, families, type Protocol } from "../support/matrix.js";
import { pinnedPaths } from "../support/kernel-state.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";

const network = useNetwork();

function rules(...protocols: readonly Protocol[]): string {
  return `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
  spare: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { protocol: [${protocols.join(", ")}], port: 6000, to: app }
  - { protocol: [${protocols.join(", ")}], port: 6001, to: [app, spare] }
`;
}

const text = rules("tcp", "udp");

async function sysctl(name: string, value: number): Promise<void> {
  await network.server.must(["sh", "-c", `echo ${value} > /proc/sys/net/${name}`]);
}

let lab: Lab;

useLab(network, (started) => {
  lab = started;
});

test("the programs on interfaces are attached only while the rules need them", async () => {
  const { server } = network;
  // What is pinned: not every bpftool shows tcx.
  const attached = async (): Promise<readonly string[]> => {
    const interfaces = JSON.parse(await server.must(["ip", "-j", "link"])) as readonly {
      readonly ifindex: number;
      readonly ifname: string;
    }[];
    return interfaces.flatMap(({ ifindex, ifname }) =>
      (["egress", "ingress"] as const)
        .filter((way) =>
          pinnedPaths(server.inode).some((path) => path.endsWith(`/${way}-${ifindex}`)),
        )
        .map((way) => `${ifname} ${way}`),
    );
  };
  const ingress = ["lo ingress", "up0 ingress"];
  const both = ["lo egress", "lo ingress", "up0 egress", "up0 ingress"];
  try {
    await sysctl("mptcp/enabled", 0);
    await server.apply(rules("tcp"));
    expect(await attached()).toEqual([]);
    await sysctl("mptcp/enabled", 1);
    await server.apply(rules("tcp"));
    expect(await attached()).toEqual(ingress);
    await sysctl("mptcp/enabled", 0);
    await server.apply(rules("tcp", "udp"));
    expect(await attached()).toEqual(both);
    await server.apply(rules("tcp"));
    expect(await attached()).toEqual([]);
  } finally {
    await sysctl("mptcp/enabled", 1);
    await server.reset();
  }
});

test("programs that are not needed leave the interfaces at once, and can come back at once", async () => {
  const { server } = network;
  await server.apply(text);
  const before = pinnedPaths(server.inode).filter((path) => /-\d+$/.test(path));
  expect(before.length).toBeGreaterThanOrEqual(4);
  for (let round = 0; round < 10; round += 1) {
    server.switchOffAndOn();
    const now = pinnedPaths(server.inode).filter((path) => /-\d+$/.test(path));
    expect(now, `round ${round}`).toEqual(before);
  }
  await server.reset();
});

for (const family of families) {
  const cell = addressesOf[family];

  describe(cell.label, () => {
    beforeAll(async () => {
      await network.server.apply(text);
    });

    for (const kind of kinds) {
      test(`what the machine sends to an address of up0 is for a socket that is bound to up0 without us; as a destination it takes that with plain TCP only, ${kind}`, async () => {
        const { server } = network;
        await lab.open("mapped", kind, cell.daemon, 6000, { device: "up0" });
        await lab.open("plain", kind, cell.public, 7000, { device: "up0" });
        const protocol = protocolOf(kind);
        expect(await server.who(protocol, cell.public, 7000)).toBe("plain");
        expect(await server.who(protocol, cell.public, 6000)).toBe(
          kind === "tcp" ? "mapped" : "ECONNREFUSED",
        );
      });

      test(`an existing listener that is bound to a device late is known as that from the next apply, ${kind}`, async () => {
        const { server, client } = network;
        const protocol = protocolOf(kind);
        await lab.open("app", kind, cell.daemon, 6000);
        await lab.open("exact", kind, cell.public, 6000);
        expect(await client.who(protocol, cell.public, 6000)).toBe("exact");
        await lab.do("bind_device", "exact", { device: "lo" });
        // Ingress asks the kernel, which knows.
        const before = kind === "tcp" ? "ECONNREFUSED" : "app";
        expect(await client.who(protocol, cell.public, 6000)).toBe(before);
        await server.apply(text);
        expect(await client.who(protocol, cell.public, 6000)).toBe("app");
      });
    }

    for (const kind of kinds) {
      test(`listeners that were there before the mapping count as those that come after it, ${kind}`, async () => {
        const { server, client } = network;
        const ports = { exact: 6010, any: 6011, never: 6012 };
        await server.unload();
        try {
          // The kernel lets nobody bind an IPv6 address that is not there yet.
          await server.must(["ip", "addr", "replace", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
          for (const [existing, port] of Object.entries(ports)) {
            for (const [name, address] of [
              ["app", cell.daemon],
              ["exact", cell.public],
              ["wild", cell.wildcard],
            ] as const) {
              await lab.open(`${name} ${existing}`, kind, address, port, {
                options: ["reuseport"],
                tag: name,
              });
            }
          }
          const rows = Object.entries(ports).map(
            ([existing, port]) =>
              `  - { protocol: [tcp, udp], port: ${port}, to: app, existing: ${existing} }\n`,
          );
          await server.apply(`${text}${rows.join("")}`);
          const answers = async (address: string): Promise<readonly string[]> => [
            await client.who(protocolOf(kind), address, ports.exact),
            await client.who(protocolOf(kind), address, ports.any),
            await client.who(protocolOf(kind), address, ports.never),
          ];
          expect(await answers(cell.public)).toEqual(["exact", "exact", "app"]);
          expect(await answers(cell.second)).toEqual(["app", "wild", "app"]);
          for (const existing of Object.keys(ports)) await lab.do("close", `app ${existing}`);
          expect(await answers(cell.public)).toEqual(["exact", "exact", "exact"]);
          expect(await answers(cell.second)).toEqual(["wild", "wild", "wild"]);
        } finally {
          await server.must(["ip", "addr", "del", "fd5e:ed00::10/128", "dev", "lo"]);
          await server.apply(text);
        }
      });
    }

    test("a UDP socket that disconnected gets datagrams at once, and explain knows of it after the next apply", async () => {
      const { server, client } = network;
      const verdict = async (): Promise<unknown> => {
        const words = ["explain", "udp", endpoint(cell.public, 6000), "--json"];
        return ((await server.ilm(words)).json() as { readonly verdict: unknown }).verdict;
      };
      await lab.open("app", "udp", cell.daemon, 6000);
      expect(await verdict()).toBe("selected");
      // An IPv6 socket goes on to hear its former peer only; to another host nothing connects from
      // 127.0.0.0/8.
      const peer = family === 4 ? cell.loopback : cell.client;
      await lab.do("connect", "app", { address: peer, port: 9 });
      expect(await client.dial("udp", cell.public, 6000)).toEqual(refused);
      expect(await verdict()).toBe("missed");
      await lab.do("disconnect", "app");
      expect(await client.who("udp", cell.public, 6000)).toBe("app");
      expect(await verdict()).toBe("missed");
      await server.apply(text);
      expect(await verdict()).toBe("selected");
    });

    test("with tcp_rfc1337 a client that comes back from the same port to MPTCP meets the next destination, or no answer", async () => {
      const { client } = network;
      await sysctl("ipv4/tcp_rfc1337", 1);
      try {
        for (const port of [6000, 6001]) await lab.open(`app${port}`, "mptcp", cell.daemon, port);
        await lab.open("spare", "tcp", cell.daemon2, 6001);
        const options = { from: [cell.client, 20000] } as const;
        for (const [port, then] of [
          [6000, "ETIMEDOUT"],
          [6001, "spare"],
        ] as const) {
          expect(await client.who("tcp", cell.public, port, options)).toBe(`app${port}`);
          const silence = then === "ETIMEDOUT" ? { timeout_s: 1 } : {};
          expect(await client.who("tcp", cell.public, port, { ...options, ...silence })).toBe(then);
          expect(await client.who("tcp", cell.public, port)).toBe(`app${port}`);
        }
      } finally {
        await sysctl("ipv4/tcp_rfc1337", 0);
      }
    });

    const streams: readonly Kind[] = ["tcp", "mptcp"];
    for (const kind of streams) {
      for (const migrate of [false, true]) {
        const fate = migrate ? "goes to another member with tcp_migrate_req" : "is lost without it";
        test(`what waits in the queue of a ${kind} member that closes ${fate}, mapped or not`, async () => {
          const { server, client } = network;
          await sysctl("ipv4/tcp_migrate_req", migrate ? 1 : 0);
          const options = { options: ["reuseport"] } as const;
          const ends: string[] = [];
          for (const [address, port] of [
            [cell.daemon, 6000],
            [cell.public, 7000],
          ] as const) {
            await lab.open("goes", kind, address, port, options);
            await lab.do("hold", "goes");
            const waiting = client.who("tcp", cell.public, port);
            await eventually("it waits", async () => {
              const queue = await server.must([
                "ss",
                "-H",
                "-l",
                "-n",
                "-t",
                "sport",
                `= :${port}`,
              ]);
              return / 1 +\d+ /.test(queue) ? true : null;
            });
            await lab.open("stays", kind, address, port, options);
            await lab.do("close", "goes");
            ends.push(await waiting);
            await lab.do("close", "stays");
          }
          expect(ends).toEqual(migrate ? ["stays", "stays"] : ["ECONNRESET", "ECONNRESET"]);
        });
      }
    }

    test("a TCP group of more than 256 is balanced over all of them, and found as long as any of them lives", async () => {
      const { server, client } = network;
      // With no fault counted before.
      await server.unload();
      await server.apply(text);
      const names = Array.from({ length: 300 }, (_, i) => `m${i}`);
      for (const name of names) {
        await lab.open(name, "tcp", cell.daemon, 6000, { options: ["reuseport"] });
      }
      const seen = new Set<string>();
      for (let i = 0; i < 700; i += 1) seen.add(await client.who("tcp", cell.public, 6000));
      // Of 44 beyond the 256 each is missed with 1/10.
      expect(names.slice(-44).filter((name) => seen.has(name)).length).toBeGreaterThan(25);
      // The first of those that are kept goes into another map, so 257 are.
      for (const count of [256, 257, 280, 299]) {
        const going = names.splice(0, count - (300 - names.length));
        for (const name of going) await lab.do("close", name);
        expect(names).toHaveLength(300 - count);
        for (let i = 0; i < 5; i += 1) {
          expect(names).toContain(await client.who("tcp", cell.public, 6000));
        }
      }
      for (const name of names) await lab.do("close", name);
      expect(await client.dial("tcp", cell.public, 6000)).toEqual(refused);
      expect((await server.status()).warnings).toEqual([]);
    });
  });
}
