/** A network namespace is a world of its own: the same addresses, other rules, other listeners. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { matrix } from "../support/matrix.js";
import { makeNetwork, type Network } from "../support/network.js";

let left: Network;
let right: Network;

const services = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
`;

beforeAll(async () => {
  [left, right] = await Promise.all([makeNetwork(), makeNetwork()]);
  for (const [{ server }, port] of [
    [left, 6000],
    [right, 6001],
  ] as const) {
    const rules = `${services}  - { protocol: [tcp, udp], port: [${port}, 6002], to: app }\n`;
    await server.apply(rules);
  }
});

afterAll(async () => {
  await Promise.all([left.destroy(), right.destroy()]);
});

for (const cell of matrix) {
  const { protocol } = cell;
  describe(cell.title, () => {
    test("two namespaces with the same addresses follow their own rules", async () => {
      const ports = [6000, 6001].map((port) => [protocol, cell.daemon, port] as const);
      const daemons = [
        await left.server.echo("left", ports),
        await right.server.echo("right", ports),
      ];
      await left.client.dial(protocol, cell.public, 6000);
      await right.client.dial(protocol, cell.public, 6001);
      const answers = await Promise.all(
        [left, right].flatMap((side) =>
          [6000, 6001].map(async (port) => await side.client.who(protocol, cell.public, port)),
        ),
      );
      expect(answers).toEqual(["left", "ECONNREFUSED", "ECONNREFUSED", "right"]);
      await Promise.all(daemons.map(async (daemon) => await daemon.stop()));
    });

    test("a listener of another namespace is never selected", async () => {
      const daemon = await right.server.echo("right", [[protocol, cell.daemon, 6002]]);
      expect(await left.client.dial(protocol, cell.public, 6002)).toEqual(refused);
      expect(await right.client.who(protocol, cell.public, 6002)).toBe("right");
      await daemon.stop();
    });

    test("a listener of a namespace without rules disturbs nothing", async () => {
      const listen = [protocol, cell.client, 6002] as const;
      const bystander = await left.client.echo("bystander", [listen]);
      expect(await left.client.dial(protocol, cell.public, 6002)).toEqual(refused);
      expect(await left.server.dial(protocol, cell.client, 6002)).toMatchObject({
        tag: "bystander",
      });
      await bystander.stop();
    });
  });
}

test("unload in one namespace leaves the other working", async () => {
  await left.server.echo("left", [["tcp", "127.0.1.10", 6002]]);
  await right.server.echo("right", [["tcp", "127.0.1.10", 6002]]);
  await left.server.ilmDone(["unload"]);
  expect(await left.client.dial("tcp", "203.0.113.1", 6002)).toEqual(refused);
  expect(await right.client.who("tcp", "203.0.113.1", 6002)).toBe("right");
  expect(await right.server.status()).toMatchObject({ loaded: true, generation: 1 });
  expect(await left.server.status()).toMatchObject({ loaded: false });
});
