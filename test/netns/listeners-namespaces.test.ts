/**
 * A namespace that ends leaves nothing behind: the next command says so, the next change takes it
 * away.
 */
import { existsSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pinFoldersOf } from "../support/kernel-state.js";
import { destroyNamespace } from "../support/leftovers.js";
import { type Kind, kinds, Lab, protocolOf } from "../support/lab.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { eventually, must, run } from "../support/process.js";
import { Server } from "../support/server.js";

const network = useNetwork();
const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: [6000, 6001], to: app }
`;

let ended: { readonly inode: number };

interface Doctor {
  readonly checks: readonly { readonly name: string; readonly found: string }[];
}

async function endedFound(): Promise<string | undefined> {
  const report = (await network.server.ilm(["doctor", "--json"])).json() as Doctor;
  return report.checks.find(({ name }) => name === "ended-namespaces")?.found;
}

/** Has another suite's namespace got the number of one that ended, which may be at once? */
async function isTakenAgain(inode: number): Promise<boolean> {
  const { stdout } = await run(["sh", "-c", "stat -Lc %i /run/netns/* /proc/[0-9]*/ns/net"]);
  return stdout.split("\n").includes(String(inode));
}

beforeEach(async () => {
  await endOne();
});

async function endOne(): Promise<void> {
  // Not the way that the suites take namespaces away, which cleans up after us.
  const server = await Server.make();
  await server.apply(rules);
  await server.stopAll();
  await must(["ip", "netns", "del", server.name]);
  ended = { inode: server.inode };
  // The kernel takes a namespace down when it finds the time.
  await eventually("the namespace has ended", async () =>
    (await endedFound())?.includes(String(ended.inode)) === true ? true : null,
  );
}

/**
 * Proves that a change takes the ended one's state away. Where its number is taken again, that
 * namespace has a right to be looked at: another try.
 */
async function expectRemoved(change: () => Promise<unknown>): Promise<void> {
  for (let left = 5; ; left--) {
    await change();
    const folders = pinFoldersOf(ended.inode);
    if (folders.length === 0 || left === 0 || !(await isTakenAgain(ended.inode))) {
      expect(folders).toEqual([]);
      return;
    }
    await endOne();
  }
}

afterEach(async () => {
  await network.server.unload();
});

test("doctor and status name it, and change nothing", async () => {
  for (let left = 5; ; left--) {
    const found = await endedFound();
    const warned = (await network.server.status()).warnings.map(({ kind }) => kind);
    if (warned.length === 1 || left === 0 || !(await isTakenAgain(ended.inode))) {
      expect(found).toContain(String(ended.inode));
      expect(warned).toEqual(["ended-namespaces"]);
      expect(pinFoldersOf(ended.inode)).not.toEqual([]);
      return;
    }
    await endOne();
  }
});

test("a daemon that starts in any other namespace removes it, before it gives up what that takes", async () => {
  await expectRemoved(async () => {
    await (await network.server.startRun(["tcp:6000=127.0.1.10"])).stop();
  });
});

for (const verb of ["apply", "unload"] as const) {
  test(`${verb} in any other namespace removes it`, async () => {
    const { server } = network;
    await expectRemoved(async () => {
      await server.ilmDone(verb === "apply" ? ["apply", "-f", server.file(rules)] : ["unload"]);
    });
    expect(existsSync(`/run/ilm/${ended.inode}.lock`)).toBe(false);
    expect(await endedFound()).toBeUndefined();
  });
}

test("the state of a namespace that lives is left alone", async () => {
  const other = await Server.make();
  try {
    await other.apply(rules);
    await network.server.apply(rules);
    expect(await other.status()).toMatchObject({ loaded: true });
  } finally {
    await other.destroy();
  }
});

test("what listened in it is neither listed nor selected elsewhere", async () => {
  const { server, client } = network;
  const other = await Server.make();
  await other.apply(rules);
  await server.apply(rules);
  const lab = await Lab.start(other);
  const portOf = (kind: Kind): number => (kind === "mptcp" ? 6001 : 6000);
  for (const kind of kinds) {
    for (const family of families) {
      await lab.open(`${kind}${family}`, kind, addressesOf[family].daemon, portOf(kind));
      const loopback = addressesOf[family].loopback;
      expect(await other.who(protocolOf(kind), loopback, portOf(kind))).toBe(`${kind}${family}`);
    }
  }
  const looks = async (): Promise<readonly string[]> => {
    const found: string[] = (await server.listeners()).map(({ address }) => address);
    for (const kind of kinds) {
      for (const family of families) {
        const { public: address } = addressesOf[family];
        found.push(await client.who(protocolOf(kind), address, portOf(kind)));
      }
    }
    return found;
  };
  const nobody = kinds.flatMap(() => families.map(() => "ECONNREFUSED"));
  expect(await looks()).toEqual(nobody);
  await other.stopAll();
  await destroyNamespace(other.name);
  expect(await looks()).toEqual(nobody);
});
