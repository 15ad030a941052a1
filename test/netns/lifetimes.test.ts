/**
 * When a daemon starts to listen does not matter: before the rules, after them, with `ilm run` at
 * work or without.
 */
import { afterEach, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
`;

afterEach(async () => {
  await network.server.stopStarted();
});

for (const cell of matrix) {
  const { protocol } = cell;
  describe(cell.title, () => {
    test("a daemon that listened before the first apply gets its connections", async () => {
      const { server, client } = network;
      await server.unload();
      await server.must(["ip", "addr", "replace", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
      await server.echo("early", [[protocol, cell.daemon, 6000]]);
      await server.apply(rules);
      expect(await client.who(protocol, cell.public, 6000)).toBe("early");
      await server.must(["ip", "addr", "del", "fd5e:ed00::10/128", "dev", "lo"]);
    });

    test("a daemon that starts after apply gets its connections, with no daemon of ours running", async () => {
      const { server, client } = network;
      await server.apply(rules);
      expect(await client.dial(protocol, cell.public, 6000)).toEqual(refused);
      const app = await server.echo("late", [[protocol, cell.daemon, 6000]]);
      expect(await client.who(protocol, cell.public, 6000)).toBe("late");
      await app.stop();
      expect(await client.dial(protocol, cell.public, 6000)).toEqual(refused);
      await server.echo("later", [[protocol, cell.daemon, 6000]]);
      expect(await client.who(protocol, cell.public, 6000)).toBe("later");
    });

    test("a daemon that starts while run is running gets its connections", async () => {
      const { server, client } = network;
      const run = await server.startRun(["-f", server.file(rules)]);
      const app = await server.echo("one", [[protocol, cell.daemon, 6000]]);
      expect(await client.who(protocol, cell.public, 6000)).toBe("one");
      await app.stop();
      expect(await client.dial(protocol, cell.public, 6000)).toEqual(refused);
      await server.echo("two", [[protocol, cell.daemon, 6000]]);
      expect(await client.who(protocol, cell.public, 6000)).toBe("two");
      await run.stop();
      expect(await client.who(protocol, cell.public, 6000)).toBe("two");
    });

    test("a daemon stays chosen when the rules change around it", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.echo("app", [[protocol, cell.daemon, 6000]]);
      expect(await client.who(protocol, cell.public, 6000)).toBe("app");
      for (const port of [6001, 6002]) {
        await server.apply(`${rules}  - { protocol: ${protocol}, port: ${port}, to: app }\n`);
        expect(await client.who(protocol, cell.public, 6000)).toBe("app");
      }
    });

    test("a daemon that a new rule set needs for the first time is found", async () => {
      const { server, client } = network;
      await server.apply(rules);
      await server.must(["ip", "addr", "replace", "fd5e:ed00::11/128", "dev", "lo", "nodad"]);
      await server.echo("other", [[protocol, cell.daemon2, 7000]]);
      await server.apply(`
version: 1
services:
  other: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { protocol: [tcp, udp], port: 7000, to: other }
`);
      expect(await client.who(protocol, cell.public, 7000)).toBe("other");
      expect(await client.dial(protocol, cell.public, 6000)).toEqual(refused);
      await server.must(["ip", "addr", "del", "fd5e:ed00::11/128", "dev", "lo"]);
    });
  });
}

test("a UDP socket that is connected to a peer of its own is no listener", async () => {
  const { server, client } = network;
  await server.apply(rules);
  const daemon = server.start([
    python,
    "-c",
    `import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.1.10", 6000))
sock.connect(("127.0.0.1", 9))
print("connected", flush=True)
sys.stdin.readline()`,
  ]);
  await daemon.waitForOutput(/connected/);
  expect(await client.dial("udp", "203.0.113.1", 6000)).toEqual(refused);
});

test("a listener that shuts down without closing refuses from then on", async () => {
  const { server, client } = network;
  await server.apply(rules);
  const daemon = server.start([
    python,
    "-c",
    `import socket, sys
sock = socket.create_server(("127.0.1.10", 6000))
print("listening", flush=True)
sys.stdin.readline()
sock.shutdown(socket.SHUT_RDWR)
print("shut", flush=True)
sys.stdin.readline()
sock.listen(16)
print("again", flush=True)
sys.stdin.readline()`,
  ]);
  await daemon.waitForOutput(/listening/);
  expect((await server.mappings())[0]?.to).toMatchObject([
    { listening: true },
    { listening: false },
  ]);
  daemon.write("\n");
  await daemon.waitForOutput(/shut/);
  expect(await client.dial("tcp", "203.0.113.1", 6000)).toEqual(refused);
  daemon.write("\n");
  await daemon.waitForOutput(/again/);
  const connected = await client.run(["nc", "-z", "-w", "3", "203.0.113.1", "6000"]);
  expect(connected.status).toBe(0);
});
