// Goal: a prefix of `anyip` is the host's as a whole while the configuration has it: dialled, its
// daemons answer; gone from the configuration, so is the route. Others' routes are left alone.
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { families, type Family, protocols } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";

const network = useNetwork();

/** Not of any interface; the client's gateway is the server. */
const prefixes: Readonly<Record<Family, string>> = { 4: "198.18.7.0/24", 6: "2001:db8:77::/48" };
const dialled: Readonly<Record<Family, string>> = { 4: "198.18.7.99", 6: "2001:db8:77:1::99" };
const other = "198.18.9.0/24";

function rules(anyip: readonly string[]): string {
  const line = anyip.length === 0 ? "" : `anyip: ${JSON.stringify(anyip)}\n`;
  return `
version: 1
${line}services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 7000, to: "app:6000" }
`;
}

const both = Object.values(prefixes);

/** Local routes that are not the kernel's own. */
async function routes(): Promise<readonly string[]> {
  const { server } = network;
  const listed = await Promise.all(
    ["-4", "-6"].map(
      async (family) =>
        await server.must(["ip", family, "route", "show", "table", "local", "type", "local"]),
    ),
  );
  return listed
    .join("\n")
    .split("\n")
    .filter((line) => line !== "" && !line.includes("proto kernel"))
    .map((line) => line.split(" ")[1] ?? "");
}

async function answers(): Promise<readonly string[]> {
  const { client } = network;
  return await Promise.all(
    families.flatMap((family) =>
      protocols.map(async (protocol) => await client.who(protocol, dialled[family], 7000)),
    ),
  );
}

const served = ["app", "app", "app", "app"];

beforeAll(async () => {
  const { server } = network;
  await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
  await server.echo(
    "app",
    ["127.0.1.10", "fd5e:ed00::10"].flatMap((address) =>
      protocols.map((protocol) => [protocol, address, 6000] as const),
    ),
  );
});

afterEach(async () => {
  await network.server.unload();
});

test("each address of a prefix is dialled, over both families and protocols", async () => {
  const { server } = network;
  await server.apply(rules(both));
  expect(await routes()).toEqual(both);
  expect(await answers()).toEqual(served);
});

test("what the configuration has no more is removed, and what others added stays", async () => {
  const { server } = network;
  await server.must(["ip", "route", "add", "local", other, "dev", "lo"]);
  const path = server.file(rules([...both, other]));
  expect((await server.ilmDone(["apply", "-f", path])).stdout).toContain(
    `a local route to ${prefixes[4]} was added`,
  );
  expect(await routes()).toEqual([prefixes[4], other, prefixes[6]]);
  const changed = server.file(rules([prefixes[6]]));
  const { stdout } = await server.ilmDone(["apply", "-f", changed]);
  expect(stdout).toContain(`the local route to ${prefixes[4]} was removed`);
  expect(await routes()).toEqual([other, prefixes[6]]);
  await server.ilmDone(["unload"]);
  expect(await routes()).toEqual([other]);
  await server.must(["ip", "route", "del", "local", other, "dev", "lo"]);
});

test("a change that goes back takes its routes along", async () => {
  const { server } = network;
  await server.apply(rules([prefixes[4]]));
  const path = server.file(rules([prefixes[6]]));
  await server.ilmDone(["apply", "-f", path, "--confirm", "3600"]);
  // Both are there while it waits: either may be what stays.
  expect(await routes()).toEqual(both);
  await server.ilmDone(["confirm", "--back"]);
  expect(await routes()).toEqual([prefixes[4]]);
  await server.ilmDone(["apply", "-f", path, "--confirm", "3600"]);
  await server.ilmDone(["confirm"]);
  expect(await routes()).toEqual([prefixes[6]]);
});

test("a rollback brings it back, and an export has it", async () => {
  const { server } = network;
  await server.ilmDone(["apply", "-f", server.file(rules(both))]);
  expect((await server.askDone(["export"])).stdout).toContain(`anyip: ${JSON.stringify(both)}`);
  await server.ilmDone(["apply", "-f", server.file(rules([]))]);
  expect(await routes()).toEqual([]);
  await server.ilmDone(["rollback"]);
  expect(await routes()).toEqual(both);
});

describe("a route that is taken away", () => {
  test("is put back by run", async () => {
    const { server } = network;
    const run = await server.startRun(["-f", server.file(rules(both))]);
    await server.must(["ip", "route", "del", "local", prefixes[4], "dev", "lo"]);
    await server.must(["ip", "link", "set", "lo", "down"]);
    await server.must(["ip", "link", "set", "lo", "up"]);
    await eventually("both routes are back", async () =>
      (await routes()).join() === both.join() ? true : null,
    );
    expect(await answers()).toEqual(served);
    await run.stop();
  });

  test("is a warning of status without run", async () => {
    const { server } = network;
    await server.apply(rules(both));
    await server.must(["ip", "route", "del", "local", prefixes[4], "dev", "lo"]);
    const { warnings } = await server.status();
    expect(warnings.map(({ kind }) => kind)).toContain("anyip-missing");
  });
});

test("a failed change leaves no route", async () => {
  const { server } = network;
  await server.apply(rules([]));
  const path = server.file(`${rules(both)}  - { interface: "eth0", port: 7001, to: nobody }\n`);
  expect((await server.ilm(["apply", "-f", path])).status).not.toBe(0);
  expect(await routes()).toEqual([]);
});
