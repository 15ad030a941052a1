/** `kill -9` of run at any moment, also in the middle of an apply: what was in force stays, and the next command works. */
import { writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { pinFoldersOf, pinnedPaths } from "../support/kernel-state.js";
import { useNetwork } from "../support/network.js";
import { Background, pause } from "../support/process.js";
import { random } from "../support/random.js";

const network = useNetwork();
const address = "203.0.113.1";

/** Port 6000 is mapped by every one of them; 7000 + turn tells them apart. */
function rules(turn: number): string {
  return `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { port: 6000, to: app }
  - { port: ${7000 + (turn % 100)}, to: "app:6000" }
`;
}

afterEach(async () => {
  await network.server.reset();
});

/** What an interrupted change must not break: the mapping at work, readable state, and one of the rule sets in force. */
async function expectWorking(seed: string): Promise<void> {
  const { server, client } = network;
  expect(await client.who("tcp", address, 6000), seed).toBe("app");
  const ports = (await server.mappings()).map(({ port }) =>
    Number(JSON.stringify(port).replaceAll(/\D/g, "")),
  );
  expect(ports, seed).toHaveLength(2);
  const own = ports.find((port) => port !== 6000);
  expect(await client.who("tcp", address, own ?? 0), `${seed}, port ${own}`).toBe("app");
}

test("thirty kills of run at random moments of a reload storm", { timeout: 600_000 }, async () => {
  const { server } = network;
  const { next, seed } = random();
  const where = `seed ${seed}`;
  await server.echo("app", [["tcp", "127.0.1.10", 6000]]);
  const file = server.file(rules(0));
  await server.ilmDone(["apply", "-f", file]);
  for (let kill = 1; kill <= 30; kill += 1) {
    const run = server.adopt(new Background(server.ilmCommand(["run", "-f", file])));
    // The first half is spent on starting up, the rest in reloads.
    const deadline = Date.now() + next() * 800;
    for (let turn = kill; Date.now() < deadline; turn += 1) {
      writeFileSync(file, rules(turn));
      await pause(Math.min(5, Math.max(0, deadline - Date.now())));
    }
    await run.stop("SIGKILL");
    expect(await network.client.who("tcp", address, 6000), `${where}, kill ${kill}`).toBe("app");
    if (kill % 5 === 0) await expectWorking(`${where}, kill ${kill}`);
  }
  writeFileSync(file, rules(0));
  await server.ilmDone(["apply", "-f", file]);
  await expectWorking(where);
  expect(pinFoldersOf(server.inode)).toEqual([String(server.inode)]);
});

test("thirty kills of apply at random moments", { timeout: 600_000 }, async () => {
  const { server } = network;
  const { next, seed } = random();
  const where = `seed ${seed}`;
  await server.echo("app", [["tcp", "127.0.1.10", 6000]]);
  await server.apply(rules(0));
  const clean = pinnedPaths(server.inode).length;
  for (let kill = 1; kill <= 30; kill += 1) {
    const apply = new Background(
      server.ilmCommand(["apply", "-f", server.file(rules(kill), "storm.yaml")]),
    );
    await pause(50 + next() * 350);
    await apply.stop("SIGKILL");
    expect(await network.client.who("tcp", address, 6000), `${where}, kill ${kill}`).toBe("app");
    if (kill % 5 === 0) await expectWorking(`${where}, kill ${kill}`);
  }
  await server.apply(rules(0));
  await server.apply(rules(1));
  await expectWorking(where);
  expect(pinFoldersOf(server.inode)).toEqual([String(server.inode)]);
  expect(pinnedPaths(server.inode)).toHaveLength(clean);
});

test(
  "a first apply that is killed leaves nothing that unload or the next apply trips over",
  { timeout: 400_000 },
  async () => {
    const { server } = network;
    const { next, seed } = random();
    await server.echo("app", [["tcp", "127.0.1.10", 6000]]);
    for (let kill = 1; kill <= 20; kill += 1) {
      const apply = new Background(
        server.ilmCommand(["apply", "-f", server.file(rules(kill), "first.yaml")]),
      );
      await pause(50 + next() * 350);
      await apply.stop("SIGKILL");
      if (kill % 2 === 0) {
        await server.apply(rules(kill));
        await expectWorking(`seed ${seed}, kill ${kill}`);
      }
      await server.ilmDone(["unload"]);
      expect(pinFoldersOf(server.inode), `seed ${seed}, kill ${kill}`).toEqual([]);
      expect(await server.loopbackAddresses(), `seed ${seed}, kill ${kill}`).toEqual([]);
    }
  },
);
