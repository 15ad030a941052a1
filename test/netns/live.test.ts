/** What is open at each destination: connections of TCP, and clients of UDP. */
import { afterEach, describe, expect, test } from "vitest";
import type { MappingsJson } from "../../src/json/mappings.js";
import { addressesOf, families } from "../support/matrix.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork } from "../support/network.js";
import { eventually, Background } from "../support/process.js";

const network = useNetwork();
const [four, six] = [addressesOf[4], addressesOf[6]];

const rules = `
version: 1
services:
  app: { address: ["${four.daemon}", "${six.daemon}"] }
  spare: { address: ["${four.daemon2}", "${six.daemon2}"] }
mappings:
  - { name: web, protocol: [tcp, udp], port: 6000, to: ["app:7000", "spare:7000"] }
  - { name: other, port: 6001, to: "app:7000" }
`;

async function hold(namespace: Namespace, ...args: readonly string[]): Promise<Background> {
  const held = namespace.startPython("hold.py", args);
  await held.waitForOutput(/ready/);
  return held;
}

/** What is open at each destination of `family`, by mapping. */
async function open(family: 4 | 6, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const mappings = (
    await network.server.askDone(["mappings", ...args, "--json"])
  ).json() as MappingsJson;
  const own = addressesOf[family];
  return Object.fromEntries(
    mappings.map(({ name, protocol, to }) => [
      `${name} ${protocol}`,
      to
        .filter(({ address }) => address === own.daemon || address === own.daemon2)
        .map(({ connections, flows }) => connections ?? flows),
    ]),
  );
}

afterEach(async () => {
  await network.client.stopStarted();
  await network.server.stopStarted();
  await network.server.reset();
});

describe.each(families)("over IPv%i", (family) => {
  const { public: dialled, daemon, daemon2, client: own } = addressesOf[family];

  test("each destination has the connections that its listener accepted, by the mapping dialled, with no process of ilm", async () => {
    const { server, client } = network;
    // One listens before ilm is there.
    await server.must(["ip", "addr", "add", `${daemon}/${family === 4 ? 8 : 128}`, "dev", "lo"]);
    await hold(server, "listen", daemon, "7000");
    await server.apply(rules);
    await hold(server, "listen", daemon2, "7000");
    const three = await hold(client, "dial", dialled, "6000", "3");
    await hold(client, "dial", dialled, "6001", "1");
    // Nobody dialled a mapping for these.
    await hold(server, "dial", daemon, "7000", "2");
    await server.ilmDone(["drain", "--force", "app:7000"]);
    await hold(client, "dial", dialled, "6000", "2");
    const found = { "web tcp": [3, 2], "web udp": [0, 0], "other tcp": [1] };
    expect(await open(family, "--connections")).toEqual(found);
    expect(await open(family, "other")).toEqual({ "other tcp": [1] });
    expect(await open(family)).toEqual({
      "web tcp": [null, null],
      "web udp": [null, null],
      "other tcp": [null],
    });
    const { stdout } = await server.askDone(["mappings", "other"]);
    expect(stdout).toMatch(/SELECTED +OPEN/);
    const sorted = await server.askDone(["mappings", "--sort", "connections", "--json"]);
    expect((sorted.json() as MappingsJson).map(({ name }) => name)).toEqual([
      "web",
      "other",
      "web",
    ]);
    // The metrics, without a daemon and with one, and the daemon's list.
    const series = (page: string): readonly string[] =>
      page.split("\n").filter((line) => /^ilm_destination_connections.* [1-9]/.test(line));
    const own = (name: string, address: string, count: number): string =>
      `ilm_destination_connections{mapping="${name}",protocol="tcp",address="${address}",port="7000"} ${count}`;
    const counted = [own("web", daemon, 3), own("web", daemon2, 2), own("other", daemon, 1)];
    expect(series((await server.askDone(["metrics"])).stdout)).toEqual(counted);
    const run = await server.startRun([]);
    const { netns } = await server.status();
    const ask = async (path: string): Promise<string> =>
      await server.must([
        "curl",
        "-sS",
        "--unix-socket",
        `/run/ilm/${netns}.sock`,
        `http://ilm${path}`,
      ]);
    expect(series(await ask("/metrics"))).toEqual(counted);
    expect(JSON.parse(await ask("/v1/mappings?sort=connections&limit=1"))).toMatchObject({
      result: { total: 3, mappings: [{ name: "web", protocol: "tcp" }] },
    });
    await run.stop();
    three.closeInput();
    await eventually("the closed ones are gone", async () => {
      const { "web tcp": left } = await open(family, "web");
      return JSON.stringify(left) === "[0,2]" ? true : null;
    });
  });

  test("drain --until-idle ends when the last connection does, and with status 1 when the time is over", async () => {
    const { server, client } = network;
    await server.apply(rules);
    await hold(server, "listen", daemon, "7000");
    await hold(server, "listen", daemon2, "7000");
    const held = await hold(client, "dial", dialled, "6000", "3");
    const args = ["drain", "--force", "--until-idle", "app:7000"];
    const late = await server.ilm([...args, "--timeout", "0"]);
    expect(late.status, late.text).toBe(1);
    expect(late.stdout).toContain("still open after 0 s: 3 connections, 0 UDP clients");
    const waiting = server.adopt(new Background(server.ilmCommand(args)));
    // Nobody waits without being told for what, not even without a terminal.
    await waiting.waitFor(({ stderr }) =>
      stderr.includes("waiting for what is open: 3 connections, 0 UDP clients\n") ? true : null,
    );
    await hold(client, "dial", dialled, "6000", "1");
    held.closeInput();
    const done = await waiting.exited;
    expect(done.status, done.stderr).toBe(0);
    expect(done.stdout).toContain("nothing is open there any more\n");
    expect(await open(family, "web")).toMatchObject({ "web tcp": [0, 1] });
  });

  test("UDP clients count at the daemon that has them", async () => {
    const { server, client } = network;
    await server.apply(rules);
    await server.echo("app", [["udp", daemon, 7000]]);
    await server.apply(rules);
    for (const port of [42_000, 42_001]) {
      const answer = await client.dial("udp", dialled, 6000, { from: [own, port] });
      expect(answer).toMatchObject({ tag: "app" });
    }
    expect(await open(family, "web")).toEqual({ "web tcp": [0, 0], "web udp": [2, 0] });
  });
});
