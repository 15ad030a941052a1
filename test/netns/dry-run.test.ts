/** `--dry-run`, `--timing`, and lists of a part of the mappings, on the running program. */
import { describe, expect, test } from "vitest";
import { pinnedPaths } from "../support/kernel-state.js";
import { useNetwork } from "../support/network.js";
import { address, rulesFor, useApp } from "../support/one-app.js";

const network = useNetwork();

useApp(network);

/** Everything that a change would touch. */
async function state(): Promise<unknown> {
  const { server } = network;
  return {
    generation: (await server.status()).generation,
    pins: pinnedPaths(server.inode),
    addresses: await server.loopbackAddresses(),
    rows: await server.mappings(),
  };
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout } = await network.server.ilmDone([...args, "--json"]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe("a dry run", () => {
  test("of the first apply leaves nothing, and shows what would be added", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    const { stdout } = await server.ilmDone(["apply", "-f", file, "--dry-run"]);
    expect(stdout).toContain("+ tcp:7000: tcp 7000 -> 127.0.1.10:6000 (app)");
    expect(stdout).toContain("dry run: nothing was changed");
    expect((await server.status()).loaded).toBe(false);
    expect(pinnedPaths(server.inode)).toEqual([]);
    expect(await server.loopbackAddresses()).toEqual([]);
  });

  for (const withRun of [false, true]) {
    test(`of each change says what it would do and does not do it, ${withRun ? "with" : "without"} the daemon running`, async () => {
      const { server, client } = network;
      const first = server.file(rulesFor(7000), "first.yaml");
      if (withRun) await server.startRun(["-f", first]);
      else await server.ilmDone(["apply", "-f", first]);
      await server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]);
      const before = await state();
      const next = server.file(rulesFor(7001), "next.yaml");
      const names = (list: unknown): string[] =>
        (list as { name: string }[]).map(({ name }) => name);

      const applied = await json("apply", "-f", next, "--dry-run");
      expect(applied).toMatchObject({ dryRun: true, same: false, changed: [] });
      expect([names(applied["added"]), names(applied["removed"])]).toEqual([
        ["tcp:7001"],
        ["tcp:7000"],
      ]);
      const added = await json("add", "tcp:7200=127.0.1.10:6000", "--dry-run");
      expect(added).toMatchObject({ dryRun: true, added: [{ name: "tcp:7200", runtime: true }] });
      const removed = await json("remove", "tcp:7100", "--dry-run");
      expect(removed).toMatchObject({ removed: [{ name: "tcp:7100", runtime: true }] });
      const same = await json("apply", "-f", first, "--dry-run");
      expect(same).toMatchObject({ dryRun: true, same: true, moves: [] });

      expect(await state()).toEqual(before);
      expect(await client.who("tcp", address, 7000)).toBe("app");
      expect(await client.who("tcp", address, 7100)).toBe("app");
    });
  }

  test("is refused as the change itself is", async () => {
    const { server } = network;
    await server.ilmDone(["apply", "-f", server.file(rulesFor(7000))]);
    for (const change of [
      ["add", "tcp:7000=127.0.1.11:6000"],
      ["add", "tcp:http=127.0.1.11:6000"],
      ["remove", "tcp:7777"],
      ["apply", "tcp:80=127.0.1.10", "tcp:80=127.0.1.11"],
    ]) {
      const dry = await server.ilm([...change, "--dry-run"]);
      const real = await server.ilm(change);
      expect(dry.status).toBeGreaterThan(0);
      expect([dry.status, dry.stderr]).toEqual([real.status, real.stderr]);
    }
  });
});

test("each change says in JSON how long its steps took, and with --timing in words", async () => {
  const { server } = network;
  const file = server.file(rulesFor(7000));
  const changes = [
    ["apply", "-f", file],
    ["add", "tcp:7100=127.0.1.10:6000"],
    ["remove", "tcp:7100"],
    ["off"],
    ["on"],
    ["unload"],
  ];
  for (const change of changes) {
    const { timing } = (await json(...change)) as { timing?: { step: string }[] };
    expect(timing?.[0]?.step, change[0]).toBe("starting");
    expect(timing?.length, change[0]).toBeGreaterThan(1);
  }
  for (const change of changes) {
    const { stdout } = await server.ilmDone([...change, "--timing"]);
    const times = stdout.split("\n").filter((line) => / ms {2}/.test(line));
    expect(times[0], change[0]).toMatch(/^ +\d+\.\d ms {2}starting$/);
    expect(times.at(-1), change[0]).toMatch(/^ +\d+\.\d ms {2}all of it$/);
  }
});

test("mappings are listed by name, protocol, port and destination, and no more than the limit", async () => {
  const { server } = network;
  await server.ilmDone(["apply", "-f", server.file(rulesFor(7000, 7001, 7002))]);
  await server.ilmDone(["add", "udp:7001=127.0.1.10:6000"]);
  const listed = async (...args: readonly string[]): Promise<string[]> => {
    const { stdout } = await server.ilmDone(["mappings", ...args, "--json"]);
    return (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name);
  };
  expect(await listed("tcp:7002", "udp:7001")).toEqual(["tcp:7002", "udp:7001"]);
  expect(await listed("--port", "7001")).toEqual(["tcp:7001", "udp:7001"]);
  expect(await listed("--port", "7001", "--protocol", "udp")).toEqual(["udp:7001"]);
  expect(await listed("--to", "app")).toEqual(["tcp:7000", "tcp:7001", "tcp:7002"]);
  expect(await listed("--limit", "2")).toEqual(["tcp:7000", "tcp:7001"]);
  const limited = await server.ilmDone(["mappings", "--limit", "2"]);
  expect(limited.stderr).toContain("showing 2 of 4 mappings");
  const none = await server.ilmDone(["mappings", "--port", "1"]);
  expect(none.stdout).toBe("no mapping for port 1 is active\n");
  const unknown = await server.ilm(["mappings", "tcp:7003"]);
  expect([unknown.status, unknown.stderr]).toEqual([
    1,
    "ilm: there is no mapping named tcp:7003\n  Did you mean tcp:7000? `ilm mappings` lists the active mappings.\n",
  ]);
});
