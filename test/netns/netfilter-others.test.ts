/**
 * Packets of others on the same host: containers behind NAT, interfaces of other namespaces, ports
 * of bridges, routed IPv6.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { addNat, nft, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { must, run, words } from "../support/process.js";
import { Server } from "../support/server.js";

const network = useNetwork();
const refused = "ECONNREFUSED";
let lab: Lab;
/** A namespace of its own on the host, as a container has. */
let inner: Server;

useLab(network, (started) => {
  lab = started;
});

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: range, protocol: udp, port: 6000-6099, to: app }
  - { name: time, protocol: udp, port: 123, to: app }
  - { name: bridge, protocol: udp, port: 6300, interface: br0, to: "app:6000" }
  - { name: port, protocol: udp, port: 6301, interface: port0, to: "app:6000" }
`;

const containers = {
  4: { address: "172.17.0.2", gateway: "172.17.0.1", prefix: 16 },
  6: { address: "fd00:d0c::2", gateway: "fd00:d0c::1", prefix: 64 },
} as const;

async function address(
  space: { readonly name: string },
  which: string,
  device: string,
): Promise<void> {
  const nodad = which.includes(":") ? " nodad" : "";
  await must(words(`ip -n ${space.name} addr add ${which} dev ${device}${nodad}`));
}

/** The container's network as Docker makes it: a bridge, and an end of a cable in it. */
beforeAll(async () => {
  const { server } = network;
  inner = await Server.make();
  await server.must(words("ip link add docker0 type bridge"));
  await must(
    words(`ip link add vethc netns ${server.name} type veth peer name eth0 netns ${inner.name}`),
  );
  await server.must(words("ip link set vethc master docker0 up"));
  for (const family of families) {
    const { address: own, gateway, prefix } = containers[family];
    await address(server, `${gateway}/${prefix}`, "docker0");
    await address(inner, `${own}/${prefix}`, "eth0");
  }
  await server.must(words("ip link set docker0 up"));
  await inner.must(words("ip link set eth0 up"));
  for (const family of families) {
    await inner.must(words(`ip -${family} route add default via ${containers[family].gateway}`));
  }
  await server.must(words("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"));
});

afterEach(async () => {
  await inner.stopDaemons();
  await network.client.stopDaemons();
});

afterAll(async () => {
  await inner.destroy();
});

describe("containers behind NAT, with the daemon running", () => {
  beforeAll(async () => {
    const { server } = network;
    await addNat(server, 4, 6);
    await nft(
      server,
      `table ip docker {
  chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local udp dport 6050 dnat to 172.17.0.2:6050; }
}
table ip6 docker {
  chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local udp dport 6050 dnat to [fd00:d0c::2]:6050; }
}
`,
    );
    await server.startRun(["-f", server.file(rules)]);
  });

  afterAll(async () => {
    const { server } = network;
    await removeRules(server);
    await server.stopStarted();
    await server.unload();
  });

  for (const family of families) {
    const { label, public: dialled, client: remote, daemon, wildcard } = addressesOf[family];
    const { address: own } = containers[family];

    test(`what DNAT leads to a container comes there, though its port is mapped and a daemon listens, ${label}`, async () => {
      const { server, client } = network;
      await inner.echo("container", [["udp", own, 6050]]);
      for (const port of [6050, 6051]) await lab.open(`app${port}`, "udp", daemon, port);
      await untilRegistered(server);
      for (let n = 0; n < 5; n++) {
        expect(await client.dial("udp", dialled, 6050)).toMatchObject({
          tag: "container",
          peer: { address: remote },
          repliedFrom: { address: dialled, port: 6050 },
        });
        expect(await client.who("udp", dialled, 6051)).toBe("app6051");
      }
      // In fragments too.
      expect(await client.who("udp", dialled, 6050, { length: 4000 })).toBe("container");
      await inner.stopDaemons();
      expect(await client.who("udp", dialled, 6050)).toBe(refused);
    });

    test(`a container that asks from a mapped port, masqueraded, gets its answer, ${label}`, async () => {
      const { server, client } = network;
      await client.echo("remote", [["udp", remote, 123]]);
      await lab.open("app", "udp", daemon, 123);
      await untilRegistered(server);
      for (let n = 0; n < 3; n++) {
        const answer = await inner.dial("udp", remote, 123, { from: [own, 123] });
        expect(answer).toMatchObject({ tag: "remote", peer: { port: 123 } });
        // It came from the host.
        expect(answer).not.toMatchObject({ peer: { address: own } });
      }
      expect(await client.who("udp", dialled, 123)).toBe("app");
    });

    test(`a container dials the host's mapped ports like anybody, ${label}`, async () => {
      await lab.open("app", "udp", daemon, 6002);
      await untilRegistered(network.server);
      for (const address of [dialled, containers[family].gateway]) {
        expect(await inner.dial("udp", address, 6002)).toMatchObject({
          tag: "app",
          peer: { address: own },
          repliedFrom: { address, port: 6002 },
        });
      }
    });

    test(`what is routed to a container is forwarded, also to mapped ports, ${label}`, async () => {
      const { server, client } = network;
      await inner.echo("container", [["udp", wildcard, 6001]]);
      await lab.open("app", "udp", daemon, 6001);
      await untilRegistered(server);
      expect(await client.who("udp", own, 6001)).toBe("container");
      expect(await client.who("udp", dialled, 6001)).toBe("app");
    });
  }
});

describe("on a host without NAT", () => {
  beforeAll(async () => {
    await network.server.apply(rules);
  });

  for (const family of families) {
    const { label, daemon, wildcard } = addressesOf[family];
    const ends =
      family === 4 ? ["192.0.2.1/24", "192.0.2.2/24"] : ["2001:db8:9::1/64", "2001:db8:9::2/64"];
    const dialled = (ends[0] ?? "").replace(/\/.*/, "");

    test(`an interface that moves to another network namespace is judged no more, ${label}`, async () => {
      const { server, client } = network;
      await must(
        words(
          `ip link add move0 netns ${server.name} type veth peer name move0 netns ${client.name}`,
        ),
      );
      try {
        await address(client, ends[1] ?? "", "move0");
        await client.must(words("ip link set move0 up"));
        await address(server, ends[0] ?? "", "move0");
        await server.must(words("ip link set move0 up"));
        await server.ilmDone(["apply", "-f", server.file(rules)]);
        await lab.open("app", "udp", daemon, 6000);
        expect(await client.who("udp", dialled, 6000)).toBe("app");
        await server.must(words(`ip link set move0 netns ${inner.name}`));
        await address(inner, ends[0] ?? "", "move0");
        await inner.must(words("ip link set move0 up"));
        const counters = async () => (await server.mappings()).map(({ counters: seen }) => seen);
        const before = await counters();
        expect(await client.who("udp", dialled, 6000)).toBe(refused);
        await inner.echo("other", [["udp", wildcard, 6000]]);
        expect(await client.who("udp", dialled, 6000)).toBe("other");
        expect(await counters()).toEqual(before);
      } finally {
        await run(words(`ip -n ${client.name} link del move0`));
      }
    });
  }

  test("IPv6 that is for others is forwarded when `all` says so and the interface does not", async () => {
    const { server, client } = network;
    const { public: dialled, daemon } = addressesOf[6];
    await inner.echo("container", [["udp", containers[6].address, 6000]]);
    await lab.open("app", "udp", daemon, 6000);
    await server.must(words("sysctl -qw net.ipv6.conf.up0.forwarding=0"));
    try {
      expect(await client.who("udp", containers[6].address, 6000)).toBe("container");
      expect(await client.who("udp", dialled, 6000)).toBe("app");
    } finally {
      await server.must(words("sysctl -qw net.ipv6.conf.up0.forwarding=1"));
    }
  });
});

describe.each(["a host without NAT", "behind NAT, with the daemon running"])(
  "a bridge, %s",
  (host) => {
    const nat = !host.startsWith("a host");

    beforeAll(async () => {
      const { server, client } = network;
      await server.unload();
      await must(
        words(
          `ip link add port0 netns ${server.name} type veth peer name cable0 netns ${client.name}`,
        ),
      );
      await server.must(words("ip link add br0 type bridge"));
      await server.must(words("ip link set port0 master br0 up"));
      for (const [space, device, end] of [
        [server, "br0", 1],
        [client, "cable0", 2],
      ] as const) {
        await address(space, `192.0.2.${end}/24`, device);
        await address(space, `2001:db8:9::${end}/64`, device);
        await space.must(words(`ip link set ${device} up`));
      }
      if (nat) {
        await addNat(server, 4, 6);
        await server.startRun(["-f", server.file(rules)]);
      } else {
        await server.apply(rules);
      }
    });

    afterAll(async () => {
      const { server } = network;
      await server.must(words("ip link del br0"));
      await server.must(words("ip link del port0"));
      await removeRules(server);
      await server.stopStarted();
      await server.unload();
    });

    for (const family of families) {
      const { label, daemon } = addressesOf[family];
      const dialled = family === 4 ? "192.0.2.1" : "2001:db8:9::1";

      test(`with its port's MAC: a datagram is counted once, and arrives on the bridge, ${label}`, async () => {
        const { server, client } = network;
        const mac = async (device: string): Promise<string> => {
          const [link] = JSON.parse(
            await server.must(words(`ip -j link show dev ${device}`)),
          ) as readonly { readonly address: string }[];
          return link?.address ?? "";
        };
        expect(await mac("br0")).toBe(await mac("port0"));
        await lab.open("app", "udp", daemon, 6000);
        if (nat) await untilRegistered(server);
        const counters = async () =>
          Object.fromEntries(
            (await server.mappings()).map(({ name, counters: { selected } }) => [name, selected]),
          );
        const before = await counters();
        expect(await client.who("udp", dialled, 6000)).toBe("app");
        expect(await client.who("udp", dialled, 6300)).toBe("app");
        expect(await client.who("udp", dialled, 6301)).toBe(refused);
        expect(await counters()).toEqual({
          ...before,
          range: (before["range"] ?? 0) + 1,
          bridge: (before["bridge"] ?? 0) + 1,
        });
      });
    }
  },
);
