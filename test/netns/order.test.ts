/**
 * The order of a lookup, for each protocol and family: a socket that already listens on what was
 * dialled comes first, the mapping second, and the kernel's own refusal third.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { endpoint, matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: [7000, 7001, 7002], to: app }
`;

describe("already listening first, mapping second, rejection third", () => {
  beforeAll(async () => {
    await network.server.apply(rules);
  });

  for (const cell of matrix) {
    describe(cell.title, () => {
      const { protocol } = cell;

      test("a socket that listens on the dialled address keeps its connections", async () => {
        const { server, client } = network;
        const own = await server.echo("own", [[protocol, cell.public, 7000]]);
        const app = await server.echo("app", [[protocol, cell.daemon, 7000]]);
        expect(await client.dial(protocol, cell.public, 7000)).toMatchObject({
          answered: true,
          tag: "own",
          peer: { address: cell.client },
          local: { address: cell.public, port: 7000 },
        });
        await own.stop();
        await app.stop();
      });

      test("the other addresses of that port go to the mapping all the same", async () => {
        const { server, client } = network;
        const own = await server.echo("own", [[protocol, cell.public, 7000]]);
        const app = await server.echo("app", [[protocol, cell.daemon, 7000]]);
        for (const dialled of [cell.second, cell.elsewhere]) {
          expect(await client.dial(protocol, dialled, 7000)).toMatchObject({ tag: "app" });
        }
        await own.stop();
        await app.stop();
      });

      test("the mapping gets the connection when nothing listens there, and sees the client", async () => {
        const { server, client } = network;
        const app = await server.echo("app", [[protocol, cell.daemon, 7001]]);
        const dial = await client.dial(protocol, cell.public, 7001);
        expect(dial).toMatchObject({ answered: true, tag: "app", peer: { address: cell.client } });
        expect(dial.answered && dial.peer).toEqual(dial.answered && dial.client);
        await app.stop();
      });

      test("the dialled address gets back to the mapping when its own socket closes", async () => {
        const { server, client } = network;
        const app = await server.echo("app", [[protocol, cell.daemon, 7000]]);
        const own = await server.echo("own", [[protocol, cell.public, 7000]]);
        expect(await client.who(protocol, cell.public, 7000)).toBe("own");
        await own.stop();
        expect(await client.dial(protocol, cell.public, 7000)).toMatchObject({
          tag: "app",
        });
        await app.stop();
      });

      test("a mapping whose daemon is down refuses as the kernel does", async () => {
        expect(await network.client.dial(protocol, cell.public, 7002)).toEqual(refused);
      });

      test("a port in no mapping refuses as the kernel does", async () => {
        expect(await network.client.dial(protocol, cell.public, 7999)).toEqual(refused);
      });

      test("a port in no mapping reaches whoever listens there", async () => {
        const { server, client } = network;
        const own = await server.echo("own", [[protocol, cell.public, 7998]]);
        expect(await client.who(protocol, cell.public, 7998)).toBe("own");
        await own.stop();
      });

      test("the answer comes from the dialled address, also when it is not the first one", async () => {
        const { server, client } = network;
        const app = await server.echo("app", [[protocol, cell.daemon, 7001]]);
        for (const dialled of [cell.public, cell.second, cell.elsewhere]) {
          for (const connected of [true, false]) {
            expect(
              await client.dial(protocol, dialled, 7001, { connected }),
              `${endpoint(dialled, 7001)}, ${connected ? "connected" : "unconnected"}`,
            ).toMatchObject({ tag: "app", repliedFrom: { address: dialled, port: 7001 } });
          }
        }
        await app.stop();
      });
    });
  }

  for (const cell of matrix.filter(({ protocol }) => protocol === "tcp")) {
    test(`getsockname() is the dialled address and port, TCP over ${cell.label}`, async () => {
      const { server, client } = network;
      const app = await server.echo("app", [["tcp", cell.daemon, 7001]]);
      for (const dialled of [cell.public, cell.second, cell.elsewhere]) {
        expect(await client.dial("tcp", dialled, 7001)).toMatchObject({
          local: { address: dialled, port: 7001 },
        });
      }
      await app.stop();
    });
  }

  test("without ilm the same dials are refused in the same way", async () => {
    await network.server.unload();
    for (const cell of matrix) {
      expect(await network.client.dial(cell.protocol, cell.public, 7002)).toEqual(refused);
    }
  });
});
