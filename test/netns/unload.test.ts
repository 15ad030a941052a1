/** `unload` leaves nothing: no program, map, link, file or address. */
import { expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { python } from "../support/paths.js";
import { eventually, pause } from "../support/process.js";
import {
  type KernelObjects,
  lookupPrograms,
  objectsOf,
  pinFoldersOf,
  stillThere,
} from "../support/kernel-state.js";
import { matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
  - { protocol: [tcp, udp], port: 6000-6999, on: [203.0.113.0/24, "2001:db8::/64"], to: app }
`;

const nothing: KernelObjects = { prog: [], map: [], link: [] };

/**
 * The kernel frees programs and maps a moment after their last reference is gone. Nobody looks
 * before: bpftool opens what it lists, and a prog_array that is opened and closed while it is
 * emptied keeps a reference for good (kernel/bpf/arraymap.c, prog_array_map_clear).
 */
async function expectGone(objects: KernelObjects): Promise<void> {
  const { server } = network;
  await pause(1000);
  const rest = await eventually("all of them are gone", async () => {
    const now = await stillThere(objects);
    return JSON.stringify(now) === JSON.stringify(nothing) ? now : null;
  }).catch(async () => await stillThere(objects));
  expect(rest).toEqual(nothing);
  expect(pinFoldersOf(server.inode)).toEqual([]);
}

test("what apply loads is seen by bpftool, and is gone after unload", async () => {
  const { server } = network;
  await server.apply(rules);
  expect(await lookupPrograms(server.inode)).toHaveLength(1);
  const loaded = await objectsOf(server.inode);
  expect(loaded.prog).toEqual(expect.arrayContaining([...(await lookupPrograms(server.inode))]));
  for (const ids of Object.values(loaded)) expect(ids).not.toEqual([]);
  expect(pinFoldersOf(server.inode)).toEqual([String(server.inode)]);
  await server.ilmDone(["unload"]);
  expect(await lookupPrograms(server.inode)).toEqual([]);
  await expectGone(loaded);
});

test("an apply replaces what was loaded before and does not pile up, and unload after a killed run takes all", async () => {
  const { server } = network;
  const file = server.file(rules);
  const run = await server.startRun(["-f", file]);
  const first = await objectsOf(server.inode);
  await run.stop("SIGKILL");
  const counts: (readonly number[])[] = [];
  for (let port = 7000; port < 7004; port += 1) {
    await server.apply(`${rules}  - { port: ${port}, to: app }\n`);
    const { prog, map, link } = await objectsOf(server.inode);
    counts.push([prog.length, map.length, link.length]);
  }
  expect(counts[3]).toEqual(counts[1]);
  const last = await objectsOf(server.inode);
  await server.ilmDone(["unload"]);
  await expectGone(last);
  await expectGone(first);
});

test("unload while daemons and clients are connected leaves the established connections alone", async () => {
  const { server, client } = network;
  await server.apply(rules);
  const daemon = server.start([
    python,
    "-c",
    `import socket
listener = socket.create_server(("127.0.1.10", 6000))
print("listening", flush=True)
connection, _ = listener.accept()
while data := connection.recv(100):
    connection.sendall(data)`,
  ]);
  await daemon.waitForOutput(/listening/);
  const talk = client.start(["nc", "203.0.113.1", "6000"]);
  talk.write("before\n");
  await talk.waitForOutput(/before/);
  await server.ilmDone(["unload"]);
  talk.write("after\n");
  await talk.waitForOutput(/after/);
  expect(await client.dial("tcp", "203.0.113.1", 6000)).toEqual(refused);
  await talk.stop();
  await daemon.stop();
});

test("an address that ilm put on lo goes with unload, one that was there stays", async () => {
  const { server } = network;
  await server.must(["ip", "addr", "add", "fd5e:ed00::99/128", "dev", "lo", "nodad"]);
  await server.apply(`
version: 1
services:
  mine: { address: "fd5e:ed00::10" }
  theirs: { address: "fd5e:ed00::99" }
mappings:
  - { port: 6000, to: [mine, theirs] }
`);
  expect([...(await server.loopbackAddresses())].sort()).toEqual([
    "fd5e:ed00::10",
    "fd5e:ed00::99",
  ]);
  await server.ilmDone(["unload"]);
  expect(await server.loopbackAddresses()).toEqual(["fd5e:ed00::99"]);
  await server.must(["ip", "addr", "del", "fd5e:ed00::99/128", "dev", "lo"]);
});

test("addresses go when their service goes, and come back with it", async () => {
  const { server } = network;
  await server.apply(rules);
  expect(await server.loopbackAddresses()).toEqual(["127.0.1.10", "fd5e:ed00::10"]);
  await server.apply("version: 1\nmappings:\n  - { port: 6000, to: 127.0.1.10 }\n");
  expect(await server.loopbackAddresses()).toEqual([]);
  await server.apply(rules);
  expect(await server.loopbackAddresses()).toEqual(["127.0.1.10", "fd5e:ed00::10"]);
  await server.ilmDone(["unload"]);
});

test("of 127.0.0.0/8 they leave nothing of the machine's own traffic changed but the source of what dials them", async () => {
  const { server } = network;
  await server.apply(rules);
  const shown = await server.must(["ip", "-4", "-o", "addr", "show", "dev", "lo"]);
  expect(shown).toMatch(/inet 127\.0\.1\.10\/32 scope host /);
  const source = async (to: string): Promise<string | undefined> =>
    / src (\S+)/.exec(await server.must(["ip", "route", "get", to]))?.[1];
  expect(await source("127.0.0.1")).toBe("127.0.0.1");
  expect(await source("127.0.1.11")).toBe("127.0.0.1");
  expect(await source("127.0.1.10")).toBe("127.0.1.10");
  expect(await source("203.0.113.100")).toBe("203.0.113.1");
  await server.ilmDone(["unload"]);
  expect(await source("127.0.1.10")).toBe("127.0.0.1");
});

test("unload when nothing is loaded is no error", async () => {
  const result = await network.server.ilm(["unload"]);
  expect(result.status).toBe(0);
  for (const cell of matrix) {
    expect(await network.client.dial(cell.protocol, cell.public, 6000)).toEqual(refused);
  }
});
