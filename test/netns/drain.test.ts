/**
 * Destinations that get nobody new: refused on purpose (`to: none`), with weight 0, and drained.
 */
import { afterEach, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { addressesOf, matrix } from "../support/matrix.js";
import { addNat, removeRules } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const [four, six] = [addressesOf[4], addressesOf[6]];

const rules = `
version: 1
services:
  app: { address: ["${four.daemon}", "${six.daemon}"] }
  spare: { address: ["${four.daemon2}", "${six.daemon2}"] }
mappings:
  - { name: closed, protocol: [tcp, udp], port: 6000-6009, to: none }
  - { name: locked, protocol: [tcp, udp], port: 6010, to: none, existing: never }
  - { name: open, protocol: [tcp, udp], port: 6009, to: app }
  - name: leaving
    protocol: [tcp, udp]
    port: 6020
    to: [{ address: app, weight: 0 }, { address: spare, weight: 1 }]
  - name: left
    protocol: [tcp, udp]
    port: 6021
    to: [{ address: app, weight: 0 }]
    miss: reject
`;

afterEach(async () => {
  await network.server.stopDaemons();
  await removeRules(network.server);
});

for (const cell of matrix) {
  const { protocol, daemon, daemon2 } = cell;

  describe(cell.title, () => {
    for (const isBesideNat of [false, true]) {
      const beside = isBesideNat ? ", beside NAT" : "";

      test(`to: none refuses, also where a wildcard listener would answer, and leaves an exact one its clients${beside}`, async () => {
        const { server, client } = network;
        if (isBesideNat) await addNat(server, cell.family);
        await server.echo("wild", [[protocol, cell.wildcard, 6000]]);
        await server.echo("exact", [
          [protocol, cell.public, 6001],
          [protocol, cell.public, 6010],
        ]);
        await server.echo("app", [[protocol, daemon, 6009]]);
        await server.apply(rules);
        const before = await server.mappings();
        expect(await client.dial(protocol, cell.public, 6000)).toEqual(refused);
        expect(await client.who(protocol, cell.public, 6001)).toBe("exact");
        expect(await client.dial(protocol, cell.public, 6010)).toEqual(refused);
        expect(await client.who(protocol, cell.public, 6009)).toBe("app");
        const missed = async (name: string): Promise<number> => {
          const find = (rows: typeof before) =>
            rows.find((row) => row.name === name && row.protocol === protocol)?.counters.missed;
          return (find(await server.mappings()) ?? 0) - (find(before) ?? 0);
        };
        expect(await missed("closed")).toBe(1);
        expect(await missed("locked")).toBe(1);
      });

      test(`weight 0 gets no new clients, and keeps those that it has${beside}`, async () => {
        const { server, client } = network;
        if (isBesideNat) await addNat(server, cell.family);
        await server.apply(rules.replaceAll("weight: 0", "weight: 1000"));
        await server.echo("app", [
          [protocol, daemon, 6020],
          [protocol, daemon, 6021],
        ]);
        await server.echo("spare", [[protocol, daemon2, 6020]]);
        await server.apply(rules.replaceAll("weight: 0", "weight: 1000"));
        const from = [cell.client, 40_000 + (isBesideNat ? 1 : 0)] as const;
        const heldTo = { from: [...from] as [string, number] };
        const first = await client.dial(protocol, cell.public, 6021, heldTo);
        expect(first).toMatchObject({ tag: "app" });
        await server.apply(rules);
        for (let i = 0; i < 20; i++) {
          expect(await client.who(protocol, cell.public, 6020)).toBe("spare");
        }
        expect(await client.dial(protocol, cell.public, 6021)).toEqual(refused);
        if (protocol === "udp") {
          expect(await client.dial(protocol, cell.public, 6021, heldTo)).toMatchObject({
            tag: "app",
          });
        }
      });
    }
  });
}

describe("to: none", () => {
  test("is no fault: status and mappings say that it is on purpose, and explain names the mapping", async () => {
    const { server } = network;
    await server.apply(rules);
    const explained = await server.ilmDone(["explain", "tcp", "203.0.113.1:6000"]);
    expect(explained.stdout).toContain("refused on purpose by the mapping closed (to: none)");
    const listed = await server.ilmDone(["mappings", "closed"]);
    expect(listed.stdout).toMatch(/none +refused on purpose/);
    const down = await server.ilmDone(["mappings", "--down", "--names"]);
    expect(down.stdout).not.toMatch(/closed|locked/);
    expect((await server.status()).unserved?.mappings.map(({ name }) => name)).not.toContain(
      "closed",
    );
    await server.ilmDone(["add", "tcp:25=none"]);
    const added = (await server.mappings()).find(({ name }) => name === "tcp:25");
    expect(added).toMatchObject({ to: [], miss: "reject", runtime: true });
    await server.ilmDone(["remove", "tcp:25=none"]);
  });
});
