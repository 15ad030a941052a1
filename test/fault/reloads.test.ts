/** Rules that change under load, again and again: the connections do not notice. */
import { renameSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { pinFoldersOf } from "../support/kernel-state.js";
import { matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";
import { sizes } from "../support/sizes.js";
import type { Server } from "../support/server.js";

const network = useNetwork();

const { reloads, applies } = sizes;

/**
 * Two rule sets that both map port 6000, each in its own way; ports 9000 and 9001 tell which is
 * active.
 */
function rules(turn: number): string {
  const shared = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
`;
  return turn % 2 === 0
    ? `${shared}  - { protocol: [tcp, udp], port: 6000, to: app }
  - { port: 9000, to: "app:6000" }
`
    : `${shared}  - { protocol: [tcp, udp], port: 5000-6999, on: [203.0.113.0/24, "2001:db8::/64"], to: app }
  - { protocol: [tcp, udp], port: 8000-8999, to: app, miss: reject }
  - { port: 9001, to: "app:6000" }
`;
}

afterEach(async () => {
  await network.client.stopAll();
  await network.server.reset();
});

async function underLoad(
  server: Server,
  prepare: () => Promise<void>,
  storm: () => Promise<void>,
): Promise<void> {
  await server.echo(
    "app",
    matrix.map((cell) => [cell.protocol, cell.daemon, 6000] as const),
  );
  await prepare();
  for (const cell of matrix) {
    expect(await network.client.who(cell.protocol, cell.public, 6000)).toBe("app");
  }
  const loads = await Promise.all(
    // Paused a little: what is tested is the reloads, not who gets the machine's two cores.
    matrix.map(async (cell) => await network.client.load(cell.protocol, cell.public, 6000, 3)),
  );
  await storm();
  for (const [index, load] of loads.entries()) {
    const { answered, failed } = await load.stop();
    expect(failed, matrix[index]?.title).toEqual({});
    expect(answered["app"], matrix[index]?.title).toBeGreaterThan(applies);
  }
}

describe("zero failed connections", () => {
  test(`while run reloads ${reloads} times`, async () => {
    const { server, client } = network;
    const file = server.file(rules(0));
    await server.ilmDone(["apply", "-f", file]);
    const { generation } = await server.status();
    const follow = async (): Promise<void> => {
      await server.startRun(["-f", file]);
    };
    await underLoad(server, follow, async () => {
      for (let turn = 1; turn <= reloads; turn += 1) {
        renameSync(server.file(rules(turn), "next.yaml"), file);
        // Without a look at each of them several writes could become one reload.
        await eventually(`reload ${turn} is active`, async () =>
          (await client.who("tcp", "203.0.113.1", 9000 + (turn % 2))) === "app" ? true : null,
        );
      }
    });
    expect(server.generation()).toBe((generation ?? NaN) + reloads);
  });

  test(`while ${applies} applies follow each other, with no daemon of ours`, async () => {
    const { server } = network;
    await server.apply(rules(0));
    // The second apply finds the UDP sockets that were bound after the first.
    await underLoad(
      server,
      async () => await server.apply(rules(1)),
      async () => {
        for (let turn = 2; turn <= applies; turn += 1) {
          await server.apply(rules(turn));
        }
      },
    );
    expect(pinFoldersOf(server.inode)).toEqual([String(server.inode)]);
  });
});
