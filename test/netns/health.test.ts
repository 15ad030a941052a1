/**
 * Which mappings have a listener: `status`, `mappings --down`, `wait`, the metrics and the API tell
 * the same, as daemons come and go.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const rules = `version: 1
services:
  web: { address: [127.0.1.10, "fd5e:ed00::10"], unit: nginx.service, publish: { 6000: 7000 } }
mappings:
  - { name: names, protocol: [tcp, udp], port: 53, to: "127.0.1.53:5353" }
  - { name: spare, port: 6001, to: ["127.0.1.20:7001", "127.0.1.21:7001"] }
`;

const web = "tcp:6000";

async function down(...more: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await network.server.ask(["mappings", "--down", "--names", ...more]);
  return stdout.split("\n").filter(Boolean);
}

async function health(): Promise<string | undefined> {
  const { stdout } = await network.server.ask(["status"]);
  return /^health: +(.*)$/m.exec(stdout)?.[1];
}

async function check(): Promise<number | null> {
  return (await network.server.ilm(["status", "--check"])).status;
}

beforeEach(async () => {
  await network.server.ilmDone(["apply", "-f", network.server.file(rules)]);
});

afterEach(async () => {
  await network.server.reset();
});

test("a mapping is down until one of its destinations has a listener, of its own protocol", async () => {
  const { server } = network;
  expect(await down()).toEqual([web, "names", "names", "spare"]);
  expect(await health()).toBe(
    `4 of 4 mappings have no listener: ${web} (unit nginx.service), names tcp, names udp, spare`,
  );
  expect(await check()).toBe(1);
  const spare = await server.echo("spare", [["tcp", "127.0.1.21", 7001]]);
  await server.echo("names", [["udp", "127.0.1.53", 5353]]);
  expect(await down()).toEqual([web, "names"]);
  expect(await down("--protocol", "udp")).toEqual([]);
  await server.echo("names over tcp", [["tcp", "127.0.1.53", 5353]]);
  expect(await health()).toBe(`1 of 4 mappings has no listener: ${web} (unit nginx.service)`);
  await spare.stop();
  expect(await down()).toEqual([web, "spare"]);
  expect((await server.ask(["status", "--json"])).json()).toMatchObject({
    unserved: {
      count: 2,
      mappings: [
        { name: web, protocol: "tcp", owner: "unit nginx.service" },
        { name: "spare", protocol: "tcp", owner: null },
      ],
    },
  });
});

test("a stranger at the destination does not serve it", async () => {
  const { server } = network;
  // Once the address is known to be nginx's, nobody else may bind it.
  await server.unload();
  await server.echo("stranger", [["tcp", "127.0.1.10", 7000]]);
  await server.ilmDone(["apply", "-f", server.file(rules)]);
  expect(await down()).toContain(web);
});

describe("wait", () => {
  test("ends as soon as the daemon listens", async () => {
    const { server } = network;
    const waiting = server.ilm(["wait", "spare", "names", "--timeout", "60"]);
    await server.echo("names", [
      ["udp", "127.0.1.53", 5353],
      ["tcp", "127.0.1.53", 5353],
    ]);
    await server.echo("spare", [["tcp", "127.0.1.20", 7001]]);
    const { status, text } = await waiting;
    expect(status, text).toBe(0);
    expect(text).toBe("all 3 mappings have a listener\n");
  });

  test("says who has none when the time is over", async () => {
    const { status, stdout } = await network.server.ilm(["wait", "spare", "--timeout", "0.1"]);
    expect(status).toBe(1);
    expect(stdout).toBe("1 of 1 mapping without a listener after 0.1 s: spare\n");
  });

  test.each([
    [["nobody"], /no mapping named nobody/],
    [["spare", "--timeout", "soon"], /--timeout: "soon" is not a number of seconds/],
  ])("%j is refused", async (args, message) => {
    const { status, stderr } = await network.server.ilm(["wait", ...args]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(message);
  });

  test("takes the name of a service", async () => {
    const { status, stdout } = await network.server.ilm(["wait", "web", "--timeout", "0"]);
    expect(status).toBe(1);
    expect(stdout).toContain(web);
  });
});

test("the metrics and the API tell the same", async () => {
  const { server } = network;
  await server.startRun([]);
  await server.echo("spare", [["tcp", "127.0.1.21", 7001]]);
  const socket = (await server.status()).netns;
  const ask = (path: string): Promise<string> =>
    server.must(["curl", "-sS", "--unix-socket", `/run/ilm/${socket}.sock`, `http://ilm${path}`]);
  expect(await ask("/metrics")).toMatch(/^ilm_mappings_unserved 3$/m);
  expect(JSON.parse(await ask("/v1/state"))).toMatchObject({ result: { unserved: { count: 3 } } });
  expect(JSON.parse(await ask("/v1/mappings?down=true&protocol=tcp"))).toMatchObject({
    result: { mappings: [{ name: web }, { name: "names" }] },
  });
});
