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
import { eventually, must } from "../support/process.js";
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

beforeEach(async () => {
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
});

afterEach(async () => {
  await network.server.unload();
});

test("doctor and status name it, and change nothing", async () => {
  expect(await endedFound()).toContain(String(ended.inode));
  const { warnings } = await network.server.status();
  expect(warnings).toMatchObject([{ kind: "ended-namespaces" }]);
  expect(pinFoldersOf(ended.inode)).not.toEqual([]);
});

test("a daemon that starts in any other namespace removes it, before it gives up what that takes", async () => {
  const run = await network.server.startRun(["tcp:6000=127.0.1.10"]);
  expect(pinFoldersOf(ended.inode)).toEqual([]);
  await run.stop();
});

for (const verb of ["apply", "unload"] as const) {
  test(`${verb} in any other namespace removes it`, async () => {
    const { server } = network;
    await server.ilmDone(verb === "apply" ? ["apply", "-f", server.file(rules)] : ["unload"]);
    expect(pinFoldersOf(ended.inode)).toEqual([]);
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
