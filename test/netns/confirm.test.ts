/**
 * Changes that go back by themselves unless they are confirmed: with no process of ours alive, and
 * with `ilm run`.
 */
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { owner, stranger } from "../support/actor.js";
import { useLabs } from "../support/attacks.js";
import { type Kind, Lab, kinds, protocolOf, stopLabs } from "../support/lab.js";
import { manyMappings } from "../support/many.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { pinRoot } from "../support/paths.js";
import { eventually } from "../support/process.js";
import { timeIsOver as endTime } from "../support/time-over.js";

const network = useNetwork();
const labOf = useLabs(network);

/** What clients dial; each kind of listener has a port of its own. */
const portOf: Readonly<Record<Kind, number>> = { tcp: 6000, mptcp: 6001, udp: 6000 };

/** Long enough for every look at what decides before it is over. */
const LONG = "3600";

const before = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: plain, protocol: [tcp, udp], port: 6000, to: app }
  - { name: multipath, port: 6001, to: app }
`;

/** To other daemons, and one port more. */
const after = `
version: 1
services:
  other: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { name: plain, protocol: [tcp, udp], port: 6000, to: other }
  - { name: multipath, port: 6001, to: other }
  - { name: more, protocol: [tcp, udp], port: 7000, to: "other:6000" }
`;

beforeAll(async () => {
  // The daemons are there before their addresses.
  await network.server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
});

beforeEach(async () => {
  const lab = await Lab.start(network.server);
  for (const family of families) {
    const { daemon, daemon2 } = addressesOf[family];
    for (const kind of kinds) {
      const name = `${kind}${family}`;
      await lab.open(`old ${name}`, kind, daemon, portOf[kind], { tag: "old" });
      await lab.open(`new ${name}`, kind, daemon2, portOf[kind], { tag: "new" });
    }
  }
});

afterEach(async () => {
  await stopLabs();
  await network.server.reset();
});

/** Who answers, by kind and family; each kind in one word if all answer alike. */
async function answers(): Promise<Readonly<Record<string, string>>> {
  const seen: Record<string, string> = {};
  for (const kind of kinds) {
    for (const family of families) {
      const { public: address } = addressesOf[family];
      const options = kind === "mptcp" ? { mptcp: true } : {};
      const who = await network.client.who(protocolOf(kind), address, portOf[kind], options);
      seen[`${kind}${family}`] = who;
    }
  }
  return seen;
}

function all(tag: string): Readonly<Record<string, string>> {
  return Object.fromEntries(kinds.flatMap((kind) => families.map((f) => [`${kind}${f}`, tag])));
}

/** Whether the port that only the new rules have is served. */
async function hasMore(): Promise<boolean> {
  const { public: address } = addressesOf[4];
  const seen = [];
  for (const protocol of ["tcp", "udp"] as const) {
    seen.push(await network.client.who(protocol, address, 7000));
  }
  expect(new Set(seen).size).toBe(1);
  return seen[0] === "new";
}

async function timeIsOver(): Promise<void> {
  await endTime(network.server);
}

interface Changed {
  readonly generation: number;
  readonly pending: { readonly until: string; readonly backTo: number } | null;
  readonly incremental: boolean;
}

async function change(...args: readonly string[]): Promise<Changed> {
  return (await network.server.ilmDone([...args, "--json"])).json() as Changed;
}

async function applied(rules: string, ...more: readonly string[]): Promise<Changed> {
  return await change("apply", "-f", network.server.file(rules), ...more);
}

async function code(...args: readonly string[]): Promise<unknown> {
  const result = await network.server.ilm([...args, "--json"]);
  expect(result.status).not.toBe(0);
  return (result.json() as { error: { code: unknown } }).error.code;
}

function pins(): readonly string[] {
  const folder = `${pinRoot}/${network.server.inode}`;
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.map((name) => name.replace(/-\d+$/, "")).sort();
}

async function counted(): Promise<number> {
  const rows = await network.server.mappings();
  const own = rows.filter(({ name }) => name !== "more");
  return own.reduce((sum, { counters }) => sum + counters.selected, 0);
}

const settled = ["generation", "lookup", "programs", "registry"];
const addresses = ["127.0.1.10", "fd5e:ed00::10"];

describe("without a process of ours", () => {
  test("a change that is not confirmed decides until its time, and the rules before from then on", async () => {
    const { client } = network;
    await applied(before);
    const { pending } = await applied(after, "--confirm", "4");
    const until = Date.parse(pending?.until ?? "");
    const { public: address } = addressesOf[4];
    // It is shown in whole seconds, and the clocks are read one after the other.
    const slack_ms = 600;
    await eventually("the rules before decide again", async () => {
      const began = Date.now();
      const who = await client.who("tcp", address, 6000);
      if (who === "new") expect(began).toBeLessThan(until + slack_ms);
      else expect(Date.now()).toBeGreaterThan(until - slack_ms);
      expect(["new", "old"]).toContain(who);
      return who === "old" ? true : null;
    });
    expect(await answers()).toEqual(all("old"));
    expect(await hasMore()).toBe(false);
  });

  test("TCP, MPTCP and UDP of both families go to the new daemons, and back when it is over; everything shows which rules decide", async () => {
    const { server } = network;
    const { generation } = await applied(before);
    expect(await answers()).toEqual(all("old"));
    const changed = await applied(after, "--confirm", LONG);
    expect(changed.pending).toMatchObject({ backTo: generation });
    expect(await answers()).toEqual(all("new"));
    expect(await hasMore()).toBe(true);
    expect(await server.status()).toMatchObject({
      generation: changed.generation,
      pending: { backTo: generation },
      wentBackAt: null,
      mappings: 5,
    });
    const most = await counted();
    await timeIsOver();
    expect(await answers()).toEqual(all("old"));
    expect(await hasMore()).toBe(false);
    // Nobody has settled it yet, and those who only read do not.
    expect(await server.status()).toMatchObject({ generation, pending: null, mappings: 3 });
    expect((await server.status()).wentBackAt).not.toBeNull();
    const unsettled = await counted();
    expect(unsettled).toBe(most + 6);
    const shown = await server.ask(["explain", "tcp", "203.0.113.1:6000", "--json"]);
    expect(shown.json()).toMatchObject({ destination: { address: "127.0.1.10" } });
    expect(pins()).toEqual(["generation", ...settled]);
    // The next command settles it.
    const late = await server.ilm(["confirm"]);
    expect(late.status).toBe(1);
    expect(late.stderr).toMatch(/went back at .*generation \d+ decides again/);
    expect(await answers()).toEqual(all("old"));
    expect(await counted()).toBe(unsettled + 6);
    expect(pins()).toEqual(settled);
    expect([...(await server.loopbackAddresses())].sort()).toEqual(addresses);
    expect(await code("confirm")).toBe("NOT_FOUND");
    // Numbers of generations are not used again.
    expect((await applied(after)).generation).toBe(changed.generation + 1);
    expect(await answers()).toEqual(all("new"));
  });

  test("a confirmed change stays, and nothing of the rules before is left", async () => {
    const { server } = network;
    await applied(before);
    const { generation } = await applied(after, "--confirm", LONG);
    expect([...(await server.loopbackAddresses())].sort()).toEqual(
      [...addresses, "127.0.1.11", "fd5e:ed00::11"].sort(),
    );
    expect((await server.ilmDone(["confirm"])).stdout).toContain(
      `generation ${generation} stays active`,
    );
    expect(await answers()).toEqual(all("new"));
    expect(await server.status()).toMatchObject({ generation, pending: null, wentBackAt: null });
    expect(pins()).toEqual(settled);
    expect([...(await server.loopbackAddresses())].sort()).toEqual(["127.0.1.11", "fd5e:ed00::11"]);
    expect(await code("confirm")).toBe("NOT_FOUND");
    expect(await code("confirm", "--back")).toBe("NOT_FOUND");
  });

  test("confirm --back takes a change back at once", async () => {
    const { server } = network;
    const { generation } = await applied(before);
    await applied(after, "--confirm", LONG);
    expect(await answers()).toEqual(all("new"));
    await server.ilmDone(["confirm", "--back"]);
    expect(await answers()).toEqual(all("old"));
    expect(await server.status()).toMatchObject({ generation, pending: null });
    expect(pins()).toEqual(settled);
  });

  test("while it waits no other change is made, except off, on and unload", async () => {
    const { server } = network;
    await applied(before);
    await applied(after, "--confirm", LONG);
    const file = server.file(before);
    expect(await code("apply", "-f", file)).toBe("PENDING");
    expect(await code("apply", "-f", file, "--confirm", "60")).toBe("PENDING");
    expect(await code("add", "tcp:7100=127.0.1.10:6000")).toBe("PENDING");
    expect(await answers()).toEqual(all("new"));
    await server.ilmDone(["off"]);
    expect(await answers()).toEqual(all("ECONNREFUSED"));
    await server.ilmDone(["on"]);
    expect(await answers()).toEqual(all("new"));
    expect((await server.status()).pending).not.toBeNull();
    await server.ilmDone(["off"]);
    await timeIsOver();
    expect(await answers()).toEqual(all("ECONNREFUSED"));
    expect(await server.status()).toMatchObject({ off: true, pending: null });
    await server.ilmDone(["on"]);
    expect(await answers()).toEqual(all("old"));
    await applied(after, "--confirm", LONG);
    await server.ilmDone(["unload"]);
    expect(await answers()).toEqual(all("ECONNREFUSED"));
    expect(pins()).toEqual([]);
    expect(await server.loopbackAddresses()).toEqual([]);
  });

  test("the first rules of a host go back to none", async () => {
    const { server } = network;
    await applied(after, "--confirm", LONG);
    expect(await answers()).toEqual(all("new"));
    await timeIsOver();
    expect(await answers()).toEqual(all("ECONNREFUSED"));
    expect(await server.status()).toMatchObject({ loaded: true, mappings: 0 });
    expect(await applied(after, "--confirm", LONG)).toMatchObject({ pending: { backTo: 1 } });
    await server.ilmDone(["confirm"]);
    expect(await answers()).toEqual(all("new"));
  });

  test("rules that do not fit into the active tables go back, too", async () => {
    const { server } = network;
    await applied(before);
    const more = Array.from(
      { length: 2_000 },
      (_, i) => `  - { port: ${10_000 + i}, to: "127.0.2.1:${1 + i}" }\n`,
    );
    const first = await applied(after + more.join(""), "--confirm", LONG);
    expect(first.pending?.backTo).toBe(first.generation - 1);
    expect(await answers()).toEqual(all("new"));
    await timeIsOver();
    expect(await answers()).toEqual(all("old"));
    expect((await server.mappings()).map(({ name }) => name)).not.toContain("more");
    // There is room now.
    const { pending } = await applied(after + more.join(""), "--confirm", LONG);
    expect(pending?.backTo).toBe(first.generation - 1);
    await server.ilmDone(["confirm"]);
    expect(await answers()).toEqual(all("new"));
    expect(pins()).toEqual(settled);
  });

  test("mappings that are added over a large file, or removed, go back", async () => {
    const { server, client } = network;
    const file = server.file(
      manyMappings(10_000, () => "127.0.1.10:6000"),
      "many.ndjson",
    );
    await server.ilmDone(["apply", "-f", file]);
    const who = async (port: number): Promise<string> =>
      await client.who("tcp", "203.0.113.1", port);
    await server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]);
    const { incremental, pending } = await change(
      "add",
      "tcp:7101=127.0.1.11:6000",
      "--confirm",
      LONG,
    );
    expect(incremental).toBe(true);
    expect(pending).not.toBeNull();
    expect([await who(7100), await who(7101)]).toEqual(["old", "new"]);
    await timeIsOver();
    expect([await who(7100), await who(7101)]).toEqual(["old", "ECONNREFUSED"]);
    await change("remove", "tcp:7100", "--confirm", LONG);
    expect([await who(7100), await who(7101)]).toEqual(["ECONNREFUSED", "ECONNREFUSED"]);
    await timeIsOver();
    expect([await who(7100), await who(7101)]).toEqual(["old", "ECONNREFUSED"]);
    // Another file is as large as this one: both are in tables with two sides.
    await applied(before, "--confirm", LONG);
    expect(await answers()).toEqual(all("old"));
    await timeIsOver();
    expect(await answers()).toEqual(all("ECONNREFUSED"));
    expect(await who(7100)).toBe("old");
    await server.ilmDone(["remove", "tcp:7100"]);
    expect(await who(7100)).toBe("ECONNREFUSED");
  });

  test("while it waits the owners by either rules may listen, and afterwards those of the rules that stay", async () => {
    const { server, client } = network;
    const rules = (uid = 0): string => `
version: 1
services:
  owned: { address: 127.0.1.20, user: ${uid} }
mappings:
  - { port: 8000, to: owned }
`;
    const who = async (): Promise<string> => await client.who("tcp", "203.0.113.1", 8000);
    const [his, others] = [await labOf(owner), await labOf(stranger)];
    await applied(rules(owner.uid));
    await his.open("his", "tcp", "127.0.1.20", 8000);
    expect(await who()).toBe("his");
    await applied(rules(stranger.uid), "--confirm", LONG);
    await his.do("close", "his");
    await others.open("theirs", "tcp", "127.0.1.20", 8000);
    expect(await who()).toBe("theirs");
    await others.do("close", "theirs");
    await timeIsOver();
    await his.open("his", "tcp", "127.0.1.20", 8000);
    expect(await who()).toBe("his");
    await server.ilm(["confirm"]);
    expect(await who()).toBe("his");
    const place = { kind: "tcp", address: "127.0.1.20", port: 8001 };
    expect(await others.ask({ do: "open", name: "late", ...place })).toMatchObject({
      errno: "EACCES",
    });
  });

  test("what cannot go back by itself is refused with the reason", async () => {
    const { server } = network;
    await applied(before);
    const ingress = before.replace("6000, to: app }", "6000, to: app, handover: ingress }");
    const result = await server.ilm(["apply", "-f", server.file(ingress), "--confirm", "60"]);
    expect(result.status).toBe(3);
    expect(result.stderr).toMatch(/cannot go back by itself: .*127\.0\.1\.10/);
    expect(await answers()).toEqual(all("old"));
  });
});

describe("with ilm run", () => {
  /** Waits until the daemon has logged it. */
  async function logged(run: { process: { stderr: string } }, what: RegExp): Promise<void> {
    await eventually(`the daemon logs ${String(what)}`, () =>
      what.test(run.process.stderr) ? true : null,
    );
  }

  test("it makes the change, settles it when it is over, and reads its file only then", async () => {
    const { server } = network;
    const file = server.file(before);
    const run = await server.startRun(["-f", file]);
    expect(await applied(after, "--confirm", LONG)).toMatchObject({ by: "daemon" });
    await logged(run, /generation 2 decides until/);
    expect(await answers()).toEqual(all("new"));
    // The file changes meanwhile.
    writeFileSync(`${file}.next`, `${before}  - { port: 7200, to: "app:6000" }\n`);
    renameSync(`${file}.next`, file);
    await logged(run, /is read after that/);
    expect(await code("reload")).toBe("PENDING");
    expect(await answers()).toEqual(all("new"));
    await timeIsOver();
    expect(await answers()).toEqual(all("old"));
    await logged(run, /was not confirmed and went back: generation 1 decides again/);
    await eventually("the changed file is read", async () =>
      (await server.mappings()).some(({ name }) => name === "tcp:7200") ? true : null,
    );
    expect(await server.status()).toMatchObject({ daemon: { following: file } });
    expect(pins()).toEqual(settled);
  });

  test("it follows the file of a change once that is confirmed", async () => {
    const { server, client } = network;
    const file = server.file(before);
    const next = server.file(after);
    await server.startRun(["-f", file]);
    await change("apply", "-f", next, "--confirm", LONG);
    expect(await server.status()).toMatchObject({ daemon: { following: file } });
    await server.ilmDone(["confirm"]);
    expect(await server.status()).toMatchObject({ daemon: { following: next }, pending: null });
    expect(await answers()).toEqual(all("new"));
    renameSync(server.file(`${after}  - { port: 7200, to: "other:6000" }\n`), next);
    await eventually("the file is followed", async () =>
      (await client.who("tcp", "203.0.113.1", 7200)) === "new" ? true : null,
    );
    await change("apply", "-f", file, "--confirm", LONG);
    await server.ilmDone(["confirm", "--back"]);
    expect(await answers()).toEqual(all("new"));
    expect(await server.status()).toMatchObject({ daemon: { following: next } });
  });

  test("one that starts meanwhile leaves the change alone, and reads its file afterwards", async () => {
    const { server } = network;
    const file = server.file(before);
    const next = server.file(after);
    await change("apply", "-f", file);
    await change("apply", "-f", next, "--confirm", LONG);
    const run = await server.startRun(["-f", file]);
    expect(await answers()).toEqual(all("new"));
    expect((await server.status()).pending).not.toBeNull();
    await run.stop("SIGKILL");
    // Without a file it follows what is active, once it is known what that is.
    const other = await server.startRun([]);
    expect(await answers()).toEqual(all("new"));
    await timeIsOver();
    await logged(other, /went back: generation 1 decides again/);
    await eventually("the file of the rules before is followed", async () =>
      (await server.status()).daemon?.following === file ? true : null,
    );
    expect(await answers()).toEqual(all("old"));
  });
});
