/**
 * What daemons do that are told to listen on their service's addresses while they listen on every
 * one: docs/daemons.md says so of each. And what else it says beside its tables.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { removeCgroups } from "../support/cgroup.js";
import { refused } from "../support/dialler.js";
import { addressesOf, families } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { eventually, words } from "../support/process.js";
import { dataServers } from "../support/stock/data.js";
import { languages } from "../support/stock/languages.js";
import { nameServers } from "../support/stock/names.js";
import type { Answer, Own, Running, Stock, Way } from "../support/stock/types.js";
import { webServers } from "../support/stock/web.js";
import { endUnit, startUnit } from "../support/units.js";

const network = useNetwork();
const own: Own = { 4: "127.0.1.10", 6: "fd5e:ed00::10" };
const unit = "first.service";
const shift = 10_000;
const ports = [22, 53, 80, 6379];

const rules = `
version: 1
services:
  first: { unit: ${unit}, address: [${own[4]}, "${own[6]}"] }
mappings:
${ports.map((port) => `  - { protocol: [tcp, udp], port: ${port + shift}, to: "first:${port}" }\n`).join("")}`;

beforeEach(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await endUnit(unit);
});

afterAll(async () => {
  await removeCgroups();
});

const stock = [...webServers, ...dataServers, ...nameServers];

function find(name: string): Stock {
  const found = stock.find((daemon) => daemon.name === name);
  if (found === undefined) throw new Error(`${name} is not among the daemons`);
  return found;
}

async function start(daemon: Stock, way: Way): Promise<Running> {
  return await daemon.start({ server: network.server, name: "first", unit, way });
}

/** What clients are told over TCP, from outside, once there is an answer. */
async function answers(daemon: Stock, running: Running, port: number): Promise<readonly Answer[]> {
  return await Promise.all(
    families.map(async (family) => {
      const { public: dialled } = addressesOf[family];
      return await eventually(`${daemon.name} answers on port ${port}`, async () => {
        try {
          return await running.ask(network.client, "tcp", dialled, port);
        } catch {
          // It is starting.
          return null;
        }
      });
    }),
  );
}

/** Nothing listens there any more, or yet. */
async function expectRefused(port: number): Promise<void> {
  for (const family of families) {
    expect(await network.client.dial("tcp", addressesOf[family].public, port)).toEqual(refused);
  }
}

/** Writes one way of listening into its configuration in place of another. */
function retell({ configuration }: Running, from: Way, to: Way): void {
  if (configuration === undefined) throw new Error("it has no configuration");
  const text = readFileSync(configuration, "utf8");
  const lines = to.written.join("\n");
  const [first, ...rest] = from.written;
  const cleared = rest.reduce((left, line) => left.replace(line, ""), text);
  const retold = first === undefined ? `${lines}\n${text}` : cleared.replace(first, lines);
  writeFileSync(configuration, retold);
}

const told = stock.flatMap((daemon) => daemon.every.map((way) => ({ daemon, way })));
const toldOf = (...names: readonly string[]) =>
  told
    .filter(({ daemon }) => names.includes(daemon.name))
    .map(({ daemon, way }) => ({
      daemon,
      way,
      written: way.written.join(" ") || "nothing",
    }));

/** The daemon on every address, and a way of its own that its configuration has now. */
async function startAndRetell(daemon: Stock, way: Way): Promise<{ running: Running; own: Way }> {
  const running = await start(daemon, way);
  await answers(daemon, running, daemon.port);
  const [ways] = daemon.own(own);
  if (ways === undefined) throw new Error(`${daemon.name} has no way to listen on addresses`);
  retell(running, way, ways);
  return { running, own: ways };
}

describe("told its service's addresses while it listens on every one", () => {
  test.each(toldOf("HAProxy", "sshd"))(
    "$daemon.name (from $written) takes them on a reload",
    async ({ daemon, way }) => {
      const { running } = await startAndRetell(daemon, way);
      await running.reload?.();
      await answers(daemon, running, daemon.port + shift);
      await expectRefused(daemon.port);
    },
  );

  test.each(toldOf("nginx"))(
    "nginx (from $written) cannot take them on a reload, serves on as before, and takes them on a restart",
    async ({ daemon, way }) => {
      const { running, own: to } = await startAndRetell(daemon, way);
      running.process.signal("SIGHUP");
      await running.process.waitForOutput(
        /bind\(\) to 127\.0\.1\.10:80 failed \(98: Address already in use\)[^]*still could not bind\(\)/,
      );
      await answers(daemon, running, daemon.port);
      await expectRefused(daemon.port + shift);
      await endUnit(unit, "SIGTERM");
      await answers(daemon, await start(daemon, to), daemon.port + shift);
    },
  );

  test.each(toldOf("Apache"))(
    "Apache (from $written) ends on a graceful restart: restart it",
    async ({ daemon, way }) => {
      const { running, own: to } = await startAndRetell(daemon, way);
      running.process.signal("SIGUSR1");
      expect((await running.process.exited).status).not.toBe(0);
      await endUnit(unit);
      await answers(daemon, await start(daemon, to), daemon.port + shift);
    },
  );

  test.each(toldOf("unbound"))(
    "unbound (from $written) keeps its sockets on a reload, and takes them on a restart",
    async ({ daemon, way }) => {
      const { running, own: to } = await startAndRetell(daemon, way);
      await running.reload?.();
      await answers(daemon, running, daemon.port);
      await expectRefused(daemon.port + shift);
      await endUnit(unit, "SIGTERM");
      await answers(daemon, await start(daemon, to), daemon.port + shift);
    },
  );

  test("Redis takes them while it runs, with CONFIG SET", async () => {
    const redis = find("Redis");
    const [way] = redis.every;
    if (way === undefined) throw new Error("Redis listens on every address");
    const running = await start(redis, way);
    await answers(redis, running, redis.port);
    const set = ["config", "set", "bind", `${own[4]} ${own[6]}`];
    expect(await network.server.must(["redis-cli", "-p", String(redis.port), ...set])).toBe("OK\n");
    await answers(redis, running, redis.port + shift);
    await expectRefused(redis.port);
  });
});

test("Redis in protected mode refuses clients from other hosts and those that dial the service's address, for it sees their addresses; it serves who dials 127.0.0.1", async () => {
  const { server, client } = network;
  const command = words("redis-server --port 6379 --dir / --save");
  await startUnit(server, unit, [...command, "", "--bind", `${own[4]} ${own[6]}`]);
  const ping = words(`redis-cli -h ${addressesOf[4].public} -p ${6379 + shift} ping`);
  const said = await eventually("Redis answers", async () => {
    const { stdout } = await client.run(ping);
    return stdout === "" ? null : stdout;
  });
  expect(said).toContain("DENIED");
  expect(await server.must(words(`redis-cli -h ${own[4]} ping`))).toContain("DENIED");
  const local = words(`redis-cli -h 127.0.0.1 -p ${6379 + shift} ping`);
  expect(await server.must(local)).toBe("PONG\n");
});

test("Java with IPv4 sockets only cannot listen on an IPv6 address", async () => {
  const java = languages.find(({ name }) => name.includes("preferIPv4Stack"));
  if (java === undefined) throw new Error("there is no such Java");
  await expect(start(java, { written: [], hosts: [own[6]] })).rejects.toThrow(/Exception/);
});

describe("BIND", () => {
  const bind = find("BIND");
  const every: Way = {
    written: ["listen-on { any; };", "listen-on-v6 { any; };"],
    hosts: [],
  };
  const [addresses] = bind.own(own);

  test("that listens on `any` has a socket for each address, not one that can be rewritten, and takes its own addresses on a reload", async () => {
    const { server } = network;
    await server.apply(rules.replace('"] }', '"], wildcard: rewrite }'));
    const running = await start(bind, every);
    await answers(bind, running, bind.port);
    const sockets = await server.must(words("ss -H -n -l -u -t sport = :53"));
    for (const family of families) {
      for (const address of [
        addressesOf[family].public,
        addressesOf[family].loopback,
        own[family],
      ]) {
        expect(sockets).toContain(family === 4 ? ` ${address}:53 ` : ` [${address}]:53 `);
      }
    }
    expect(sockets).not.toMatch(/ (0\.0\.0\.0|\*|\[::\]):53 /);
    await answers(bind, running, bind.port + shift);
    if (addresses === undefined) throw new Error("BIND listens on addresses");
    retell(running, every, addresses);
    await running.reload?.();
    await answers(bind, running, bind.port + shift);
    await eventually("it has closed the others", async () => {
      const left = await server.must(words("ss -H -n -l -u -t sport = :53"));
      return left.includes(` ${addressesOf[4].public}:53 `) ? null : true;
    });
    await expectRefused(bind.port);
  });

  test("listens on its own addresses only once an interface has them: ilm first, or a reload after it", async () => {
    const { server } = network;
    await server.unload();
    if (addresses === undefined) throw new Error("BIND listens on addresses");
    const running = await start(bind, addresses);
    await running.process.waitForOutput(/ running\n/);
    expect(await server.must(words("ss -H -n -l -u -t sport = :53"))).toBe("");
    await server.apply(rules);
    await running.reload?.();
    await answers(bind, running, bind.port + shift);
  });
});

test("dnsmasq with `bind-dynamic` instead of `bind-interfaces` serves nothing that was dialled on another address", async () => {
  const { client } = network;
  const dnsmasq = find("dnsmasq");
  const [way] = dnsmasq.own(own);
  if (way === undefined) throw new Error("dnsmasq listens on addresses");
  const written = way.written.map((line) => line.replace("bind-interfaces", "bind-dynamic"));
  const running = await start(dnsmasq, { ...way, written });
  await network.server.waitForListener("udp", own[4], dnsmasq.port);
  await running.process.waitForOutput(/started/);
  const asked = families.flatMap((family) =>
    dnsmasq.protocols.map(async (protocol) => {
      const { public: dialled } = addressesOf[family];
      const answer = running.ask(client, protocol, dialled, dnsmasq.port + shift);
      await expect(answer, `${protocol}, IPv${family}`).rejects.toThrow(/end of file|timed out/);
    }),
  );
  await Promise.all(asked);
  for (const family of families) {
    expect(await running.ask(network.server, "udp", own[family], dnsmasq.port)).toEqual({
      name: "first",
    });
  }
});

test("every daemon of this page that listens on port 80, and every one of port 53, run side by side with `wildcard: rewrite`, and each is served", async () => {
  const { server, client } = network;
  const all = [...webServers, ...languages, ...nameServers].flatMap((daemon) => {
    // BIND has no socket on every address.
    const [way] =
      daemon.every.length > 0
        ? daemon.every
        : daemon.own({ 4: "127.0.2.99", 6: "fd5e:ed00:2::99" });
    return way === undefined ? [] : [{ daemon, way }];
  });
  const services = all.map(({ daemon, way }, index) => {
    const number = daemon.every.length > 0 ? index + 1 : 99;
    const name = `d${index}`;
    const mptcp = daemon.service === undefined ? "" : `, ${daemon.service}`;
    return { daemon, way, name, number, mptcp, port: 20_000 + index };
  });
  await server.apply(`
version: 1
services:
${services.map(({ name, number, mptcp }) => `  ${name}: { unit: ${name}.service, address: [127.0.2.${number}, "fd5e:ed00:2::${number}"], wildcard: rewrite${mptcp} }\n`).join("")}
mappings:
${services.map(({ name, port, daemon }) => `  - { protocol: [tcp, udp], port: ${port}, to: "${name}:${daemon.port}" }\n`).join("")}
`);
  try {
    const running = await Promise.all(
      services.map(
        async ({ daemon, way, name }) =>
          await daemon.start({ server, name, unit: `${name}.service`, way }),
      ),
    );
    await Promise.all(
      services.flatMap(({ daemon, way, name, port }, index) =>
        (way.families ?? families).map(async (family) => {
          const { public: dialled } = addressesOf[family];
          // Datagrams, of dnsmasq: it serves connections to its own port only.
          const [protocol = "tcp"] = daemon.protocols;
          const answer = await eventually(`${daemon.name} answers`, async () => {
            try {
              return (await running[index]?.ask(client, protocol, dialled, port)) ?? null;
            } catch {
              // It is starting.
              return null;
            }
          });
          expect(answer.name, daemon.name).toBe(name);
        }),
      ),
    );
  } finally {
    for (const { name } of services) await endUnit(`${name}.service`);
  }
});
