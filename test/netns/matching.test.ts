/**
 * Which mapping and which destination a dial comes to: every form the configuration has, end to
 * end.
 */
import { afterEach, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import type { Listen } from "../support/echo.js";
import type { Server } from "../support/server.js";
import { addressesOf, endpoint, matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const [four, six] = [addressesOf[4], addressesOf[6]];

// Written as services, so that ilm puts the IPv6 addresses on lo.
const services = `
version: 1
services:
  app: { address: ["${four.daemon}", "${six.daemon}"] }
  spare: { address: ["${four.daemon2}", "${six.daemon2}"] }
  third: { address: ["${four.daemon3}", "${six.daemon3}"] }
mappings:`;

/**
 * Each test has ports of its own among these: applied again they are unchanged, which costs
 * nothing.
 */
const rules = `${services}
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: [tcp, udp], port: [6001, 6003], to: app }
  - { protocol: [tcp, udp], port: 6010-6012, to: app }
  - { protocol: [tcp, udp], port: [6020-6021, 6030], to: app }
  - { protocol: [tcp, udp], port: 6100, to: [app, spare] }
  - { protocol: [tcp, udp], port: 6110, to: app }
  - { protocol: [tcp, udp], port: 6111, to: app, existing: any }
  - { protocol: [tcp, udp], port: 6120, to: app, existing: never }
  - { protocol: [tcp, udp], port: 6130, to: app }
  - { protocol: [tcp, udp], port: 6131, to: app, miss: reject }
  - { protocol: [tcp, udp], port: 6140, to: "*:6142" }
  - { protocol: [tcp, udp], port: 6150, to: "app:6152" }
  - { protocol: [tcp, udp], port: 6160-6161, to: "app:6162" }
  - { protocol: [tcp, udp], port: 6170, to: ["${endpoint(four.public, 6172)}", "${endpoint(six.public, 6172)}"] }
  - { protocol: [tcp, udp], port: 6180, to: app }
  - { protocol: [tcp, udp], port: [6190, 6191], to: spare }
  - { protocol: [tcp, udp], port: 6200, on: ["${four.daemon}/32", "${six.daemon}/128"], to: spare }
  - { protocol: [tcp, udp], port: 6201, to: spare }
  - { protocol: tcp, port: 6210, to: app }
  - { protocol: udp, port: 6211, to: app }
  - { protocol: [tcp, udp], port: 6220, to: app }
  - { protocol: [tcp, udp], port: 6230, to: "${six.daemon}" }
  - { protocol: [tcp, udp], port: 6231, to: "*:6231", existing: never }
  - { protocol: [tcp, udp], port: 6240, to: ${four.daemon} }
`;

const everyPort = `${services}
  - { protocol: [tcp, udp], port: "*", to: app }
  - { protocol: [tcp, udp], port: 6000-6009, to: spare }
  - { protocol: [tcp, udp], port: 6005, to: app }
`;

const prefixes = `${services}
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: [tcp, udp], port: 6000-6999, on: ["${four.network}", "${six.network}"], to: spare }
  - { protocol: [tcp, udp], port: "*", on: ["${four.second}/32", "${six.second}/128"], to: third }
`;

afterEach(async () => {
  await network.server.stopDaemons();
});

/** One daemon per tag. */
async function echoes(server: Server, daemons: Readonly<Record<string, Listen>>): Promise<void> {
  await Promise.all(
    Object.entries(daemons).map(async ([tag, listen]) => await server.echo(tag, [listen])),
  );
}

for (const cell of matrix) {
  const { protocol, daemon, daemon2 } = cell;

  describe(cell.title, () => {
    test("ports may be a number, a list, a range, and a destination keeps the dialled one", async () => {
      const { server, client } = network;
      await server.apply(rules);
      const mapped = [6000, 6001, 6003, 6010, 6011, 6012, 6020, 6021, 6030];
      await server.echo(
        "app",
        mapped.map((port) => [protocol, daemon, port] as const),
      );
      for (const port of mapped) {
        expect(await client.dial(protocol, cell.public, port), `port ${port}`).toMatchObject({
          tag: "app",
          repliedFrom: { address: cell.public, port },
        });
      }
      for (const port of [5999, 6002, 6004, 6009, 6013, 6019, 6022, 6029, 6031]) {
        expect(await client.dial(protocol, cell.public, port), `port ${port}`).toEqual(refused);
      }
    });

    test("of several destinations the first that listens gets it, and gets it back", async () => {
      const { server, client } = network;
      await server.apply(rules);
      expect(await client.dial(protocol, cell.public, 6100)).toEqual(refused);
      await server.echo("second", [[protocol, daemon2, 6100]]);
      expect(await client.who(protocol, cell.public, 6100)).toBe("second");
      const first = await server.echo("first", [[protocol, daemon, 6100]]);
      expect(await client.who(protocol, cell.public, 6100)).toBe("first");
      await first.stop();
      expect(await client.who(protocol, cell.public, 6100)).toBe("second");
      await server.echo("first again", [[protocol, daemon, 6100]]);
      expect(await client.who(protocol, cell.public, 6100)).toBe("first again");
    });

    test("a wildcard listener does not keep a mapped port, unless existing is any", async () => {
      const { server, client } = network;
      await server.apply(rules);
      // Without SO_REUSEPORT the kernel refuses a wildcard listener beside another.
      for (const [tag, address] of [
        ["app", daemon],
        ["wildcard", cell.wildcard],
      ] as const) {
        await server.echo(
          tag,
          [6110, 6111].map((port) => [protocol, address, port] as const),
          {
            reuseport: true,
          },
        );
      }
      expect(await client.who(protocol, cell.second, 6110)).toBe("app");
      // Its answer may leave from another of the server's addresses: that is the daemon's affair.
      const options = { connected: protocol === "tcp" };
      expect(await client.who(protocol, cell.second, 6111, options)).toBe("wildcard");
    });

    test("with existing never the mapping wins over the socket on the dialled address", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await echoes(server, { app: [protocol, daemon, 6120], own: [protocol, cell.public, 6120] });
      expect(await client.who(protocol, cell.public, 6120)).toBe("app");
    });

    test("a miss passes to the wildcard listener, and miss reject refuses in spite of it", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("wildcard", [
        [protocol, cell.wildcard, 6130],
        [protocol, cell.wildcard, 6131],
      ]);
      // The kernel goes on as without ilm, and a wildcard socket's answer may leave from another of
      // the server's addresses.
      const options = { connected: protocol === "tcp" };
      expect(await client.who(protocol, cell.public, 6130, options)).toBe("wildcard");
      expect(await client.dial(protocol, cell.public, 6131)).toEqual(refused);
    });

    test("a destination may be the wildcard listener of another port", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("wildcard", [[protocol, cell.wildcard, 6142]]);
      expect(await client.who(protocol, cell.second, 6140)).toBe("wildcard");
    });

    test("a destination is exact: the wildcard listener is not one", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("wildcard", [[protocol, cell.wildcard, 6152]]);
      expect(await client.dial(protocol, cell.public, 6150)).toEqual(refused);
    });

    test("answers through a port remap come from the dialled port", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("app", [[protocol, daemon, 6162]]);
      for (const port of [6160, 6161]) {
        for (const connected of [true, false]) {
          expect(
            await client.dial(protocol, cell.second, port, {
              connected,
              from: [cell.client, 5555],
            }),
          ).toMatchObject({
            tag: "app",
            peer: { address: cell.client, port: 5555 },
            repliedFrom: { address: cell.second, port },
          });
        }
      }
    });

    test("a destination may be on the dialled address itself", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("own", [[protocol, cell.public, 6172]]);
      expect(await client.who(protocol, cell.public, 6170)).toBe("own");
    });

    test("dials from the server itself are mapped too, loopback and public", async () => {
      const { server } = network;
      await server.apply(rules);
      await server.echo("app", [[protocol, daemon, 6180]]);
      for (const dialled of [cell.loopback, cell.public]) {
        expect(await server.dial(protocol, dialled, 6180), dialled).toMatchObject({
          tag: "app",
          repliedFrom: { address: dialled, port: 6180 },
        });
      }
    });

    test("a service's own address is never mapped away", async () => {
      const { server } = network;
      await server.apply(rules);
      await server.echo("spare", [
        [protocol, daemon2, 6190],
        [protocol, daemon2, 6191],
      ]);
      await server.echo("app", [[protocol, daemon, 6190]]);
      expect(await server.dial(protocol, daemon, 6190)).toMatchObject({ tag: "app" });
      expect(await server.dial(protocol, daemon, 6191)).toEqual(refused);
    });

    test("a service's own address is mapped when a mapping names it", async () => {
      const { server } = network;
      await server.apply(rules);
      await server.echo("spare", [
        [protocol, daemon2, 6200],
        [protocol, daemon2, 6201],
      ]);
      expect(await server.dial(protocol, daemon, 6200)).toMatchObject({ tag: "spare" });
      expect(await server.dial(protocol, daemon, 6201)).toEqual(refused);
    });

    test("a mapping of the other protocol does not take it", async () => {
      const { server, client } = network;
      const port = protocol === "tcp" ? 6211 : 6210;
      await server.apply(rules);
      await server.echo("app", [[protocol, daemon, port]]);
      expect(await client.dial(protocol, cell.public, port)).toEqual(refused);
    });

    test("the members of a SO_REUSEPORT group share the connections, and may leave one by one", async () => {
      const { server, client } = network;
      await server.apply(rules);
      const members = await Promise.all(
        ["a", "b", "c"].map(
          async (tag) => await server.echo(tag, [[protocol, daemon, 6220]], { reuseport: true }),
        ),
      );
      // A test run has no packet to select a member by.
      const dialled = cell.public.includes(":") ? `[${cell.public}]` : cell.public;
      const explained = await server.ask(["explain", protocol, `${dialled}:6220`, "--json"]);
      expect(explained.json()).toMatchObject({ verdict: "selected" });
      const seen = new Set<string>();
      for (let dial = 0; dial < 60; dial += 1) {
        seen.add(await client.who(protocol, cell.public, 6220));
      }
      expect([...seen].sort()).toEqual(["a", "b", "c"]);
      for (const member of members.slice(0, 2)) {
        await member.stop();
        for (let dial = 0; dial < 20; dial += 1) {
          expect(["a", "b", "c"]).toContain(await client.who(protocol, cell.public, 6220));
        }
      }
      await members[2]?.stop();
      expect(await client.dial(protocol, cell.public, 6220)).toEqual(refused);
    });
  });
}

for (const cell of matrix) {
  const { protocol, daemon, daemon2 } = cell;

  describe(cell.title, () => {
    test('"*" maps every port, and a smaller port set comes before it', async () => {
      const { server, client } = network;
      await server.apply(everyPort);
      const ports = [1, 6004, 6005, 65535];
      await server.echo(
        "app",
        ports.map((port) => [protocol, daemon, port] as const),
      );
      await server.echo(
        "spare",
        ports.map((port) => [protocol, daemon2, port] as const),
      );
      for (const [index, tag] of ["app", "spare", "app", "app"].entries()) {
        expect(await client.who(protocol, cell.public, ports[index] ?? 0)).toBe(tag);
      }
    });
  });
}

for (const cell of matrix) {
  const { protocol, daemon, daemon2, daemon3 } = cell;

  describe(cell.title, () => {
    test("the longest prefix of the dialled address decides, before the port set", async () => {
      const { server, client } = network;
      await server.apply(prefixes);
      const ports = [6000, 6001];
      for (const [tag, address] of [
        ["default", daemon],
        ["network", daemon2],
        ["host", daemon3],
      ] as const) {
        await server.echo(
          tag,
          ports.map((port) => [protocol, address, port] as const),
        );
      }
      for (const [tag, dialled, port] of [
        ["default", cell.elsewhere, 6000],
        ["network", cell.public, 6000],
        ["network", cell.public, 6001],
        ["host", cell.second, 6000],
        ["host", cell.second, 6001],
      ] as const) {
        expect(await client.who(protocol, dialled, port), `${dialled} ${port}`).toBe(tag);
      }
      expect(await client.dial(protocol, cell.elsewhere, 6001)).toEqual(refused);
    });
  });
}

for (const protocol of ["tcp", "udp"] as const) {
  describe(`IPv4 and dual-stack IPv6 listeners, ${protocol.toUpperCase()}`, () => {
    test("IPv4 reaches a dual-stack wildcard listener", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("dual", [[protocol, "::", 6231]]);
      for (const dialled of ["203.0.113.5", "2001:db8::5"]) {
        expect(await client.dial(protocol, dialled, 6231), dialled).toMatchObject({
          tag: "dual",
          repliedFrom: { address: dialled, port: 6231 },
        });
      }
    });

    test("IPv4 never reaches a listener that takes IPv6 only", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("six", [[protocol, "::", 6231]], { v6only: true });
      expect(await client.dial(protocol, "203.0.113.1", 6231)).toEqual(refused);
      expect(await client.dial(protocol, "2001:db8::1", 6231)).toMatchObject({
        tag: "six",
      });
    });

    test("a listener on one IPv6 address takes no IPv4, because the kernel makes it IPv6 only", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("six", [[protocol, "fd5e:ed00::10", 6230]]);
      expect(await client.dial(protocol, "2001:db8::5", 6230)).toMatchObject({
        tag: "six",
      });
      expect(await client.dial(protocol, "203.0.113.5", 6230)).toEqual(refused);
    });

    test("a listener on a v4-mapped address is an IPv4 listener", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("mapped", [[protocol, "::ffff:127.0.1.10", 6240]]);
      expect(await client.dial(protocol, "203.0.113.5", 6240)).toMatchObject({
        tag: "mapped",
        repliedFrom: { address: "203.0.113.5", port: 6240 },
      });
      expect(await client.dial(protocol, "2001:db8::1", 6240)).toEqual(refused);
    });
  });
}
