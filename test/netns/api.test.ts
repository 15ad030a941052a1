/**
 * The API as other programs see it: the stable name of its socket, its version, the events, and
 * each example of docs/api.md, which curl runs as it is written.
 */
import { existsSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { anyEvent } from "../../src/json/events.js";
import { asUser, READERS, STRANGER } from "../support/as-user.js";
import { conforms } from "../support/conforms.js";
import { useNetwork } from "../support/network.js";
import { OwnHost } from "../support/own-host.js";
import { ilmCommand, lockRoot, python } from "../support/paths.js";
import { type Background, words } from "../support/process.js";
import { olderFormats, Release } from "../support/releases.js";
import type { Status } from "../support/shapes.js";

const network = useNetwork();
const rules = `version: 1
services:
  web: { address: 127.0.1.10, group: "${READERS}", publish: { 443: 6000 } }
`;
const socket = `${lockRoot}/ilm.sock`;

let host: OwnHost;
let file: string;

beforeEach(async () => {
  host = await OwnHost.start(network.server);
  file = network.server.file(rules, "api.yaml");
});

afterEach(async () => {
  await network.server.reset();
});

const ilm = async (...args: readonly string[]): Promise<string> =>
  await host.must([ilmCommand, ...args]);
const run = async (...args: readonly string[]): Promise<Background> =>
  await host.startRun(["-f", file, "--readers", `${READERS}`, ...args]);
const numbered = (): string => `${lockRoot}/${network.server.inode}.sock`;
const curl = (path: string): readonly string[] => [
  ...words(`curl -sSN --unix-socket ${socket}`),
  `http://ilm${path}`,
];

async function daemonOf(command: readonly string[]): Promise<Status["daemon"]> {
  const { stdout, stderr } = await host.run(command);
  if (stdout === "") throw new Error(stderr);
  return (JSON.parse(stdout) as Status).daemon;
}

describe("in the host's own network namespace", () => {
  const status = [ilmCommand, "status", "--json"];

  test("the socket is ilm.sock, commands of root and of readers use it, and nothing of it is left", async () => {
    const daemon = await run();
    expect(await host.must(["readlink", numbered()])).toBe("ilm.sock\n");
    expect(await host.must(["stat", "-c", "%F", socket])).toBe("socket\n");
    const found = { following: file };
    expect(await daemonOf(status)).toMatchObject(found);
    expect(await daemonOf(asUser(STRANGER, status, { groups: [READERS] }))).toMatchObject(found);
    expect((await host.run(asUser(STRANGER, status))).stdout).toContain(`connect to ${socket}`);
    await host.must(["kill", `${(await daemonOf(status))?.pid}`]);
    expect((await daemon.exited).status).toBe(0);
    expect(await host.must(["ls", lockRoot])).not.toContain("sock");
  });

  test("a daemon of an earlier release is found; the socket that it leaves gives way, and both names come back", async () => {
    const release = await Release.build(olderFormats().at(-1) ?? 0);
    const old = host.start([release.command, "run", "-f", file]);
    await old.waitForOutput(/ready: network namespace/);
    expect(await host.must(["ls", lockRoot])).not.toContain("ilm.sock");
    expect(await daemonOf(status)).toMatchObject({ following: file });
    expect(await ilm("metrics")).toContain("ilm_loaded");
    await host.must(["kill", "-9", `${(await daemonOf(status))?.pid}`]);
    await old.exited;
    expect(await host.must(["stat", "-c", "%F", numbered()])).toBe("socket\n");
    const daemon = await run();
    expect(await host.must(["readlink", numbered()])).toBe("ilm.sock\n");
    expect(await daemonOf(status)).toMatchObject({ following: file });
    await host.must(["rm", socket, numbered()]);
    await daemon.waitForOutput(/the API is served on \S+ again/);
    expect(await daemonOf(status)).toMatchObject({ following: file });
  });
});

test("in another one, the socket has its number", async () => {
  await network.server.startRun([]);
  expect(existsSync(numbered())).toBe(true);
  expect((await network.server.status()).daemon).not.toBeNull();
});

describe("every example of docs/api.md", () => {
  const text = readFileSync("docs/api.md", "utf8");
  const blocks = [...text.matchAll(/^```sh\n([^]*?)^```$/gm)].map((match) => match[1] ?? "");
  const examples = blocks.flatMap((block) => block.trim().split("\n"));
  const [streams, requests] = [true, false].map((isStream) =>
    examples.filter((line) => line.includes("/v1/events") === isStream),
  ) as [string[], string[]];

  test("is answered", async () => {
    expect(requests.length).toBeGreaterThan(5);
    await run();
    await ilm("add", "tcp:8080=127.0.1.10:6000");
    for (const example of requests) {
      const answer = await host.must(["sh", "-c", example]);
      if (example.includes("/metrics")) expect(answer).toContain("ilm_loaded");
      else expect(JSON.parse(answer), example).toMatchObject({ ok: true });
    }
  });

  test.each(streams)("%s begins", async (example) => {
    await run();
    const reader = host.start(["sh", "-c", `exec ${example}`]);
    await reader.waitForOutput(/"event":"connected"/);
  });
});

test("whatever happens is an event, for readers too, each as it is published", async () => {
  const { server } = network;
  const daemon = await run();
  const root = host.start(curl("/v1/events"));
  const reader = host.start(asUser(STRANGER, curl("/v1/events"), { groups: [READERS] }));
  const both = [root, reader];
  const heard = async (kind: string, pattern = ""): Promise<void> => {
    const line = new RegExp(`"event":"${kind}".*${pattern}`);
    for (const one of both) await one.waitForOutput(line);
  };
  await heard("connected", `"api":1.*"netns":${server.inode}`);
  await ilm("add", "tcp:8080=127.0.1.10:6000");
  await heard("changed", '"mappings":2,"added":{"count":1,"names":\\["tcp:8080"\\]');
  await ilm("remove", "tcp:8080");
  await heard("changed", '"removed":{"count":1');
  await ilm("off");
  await heard("switched", '"to":"off"');
  await ilm("on");
  await heard("switched", '"to":"on"');
  server.file("version: 1\nservices: 7\n", "api.yaml");
  await heard("reload-refused", '"code":"CONFIGURATION".*"severity":"error"');
  server.file(rules, "api.yaml");
  const bind = "import socket; socket.socket().bind(('127.0.1.10', 6000))";
  await host.run(asUser(STRANGER, [python, "-c", bind]));
  await heard("refused", '"reason":"address"');
  const pins = (await server.status()).pinPath;
  await server.must(["sh", "-c", `bpftool link detach pinned ${pins}/lookup`]);
  await heard("restored", "sk_lookup");
  await ilm("unload");
  await heard("unloaded");
  await heard("ending");
  await daemon.exited;
  for (const one of both) {
    const { stdout } = await one.exited;
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    expect(events.flatMap((event) => conforms(anyEvent, event))).toEqual([]);
  }
});

test("events take the right to read", async () => {
  await host.startRun(["-f", file, "--readers", `${READERS}`]);
  const stranger = await host.run(asUser(STRANGER, curl("/v1/events")));
  // CURLE_COULDNT_CONNECT
  expect(stranger.status).toBe(7);
});
