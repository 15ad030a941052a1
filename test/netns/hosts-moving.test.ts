/**
 * Addresses that come and go beside ilm: by DHCP and router advertisements, with and without `ilm
 * run`, and by VRRP between two hosts.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DoctorJson } from "../../src/json/doctor.js";
import { DhcpClient, Router, untilAddress } from "../support/dhcp.js";
import { explain } from "../support/explain.js";
import { Host } from "../support/host.js";
import { addressesOf, families, protocols } from "../support/matrix.js";
import type { Namespace } from "../support/namespace.js";
import { useNetwork, vethCable } from "../support/network.js";
import { eventually } from "../support/process.js";
import { Server } from "../support/server.js";
import { Talks } from "../support/talks.js";

const network = useNetwork();

const virtual = { 4: "203.0.113.77", 6: "2001:db8::77" } as const;

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], publish: [6000/tcp, 6000/udp] }
  talk: { address: [127.0.1.11, "fd5e:ed00::11"], publish: [6001/tcp, 6001/udp] }
`;

async function startDaemons(server: Server, tag: string): Promise<void> {
  await server.echo(
    tag,
    families.flatMap((family) =>
      protocols.map((protocol) => [protocol, addressesOf[family].daemon, 6000] as const),
    ),
  );
  for (const family of families) {
    const daemon = server.startPython("talk.py", ["listen", addressesOf[family].daemon2, "6001"]);
    await daemon.waitForOutput(/ready/);
  }
}

const stays = families.map((family) => addressesOf[family].public);

/** Who answers at port 6000 over each protocol, and whether the answer is from there. */
async function whoAnswers(
  client: Namespace,
  address: string,
  timeout_s = 30,
): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const protocol of protocols) {
    const dial = await client.dial(protocol, address, 6000, {
      timeout_s,
      connected: false,
    });
    seen.push(
      dial.answered ? `${dial.tag} from ${dial.repliedFrom.address}` : `nobody: ${dial.errno}`,
    );
  }
  return seen;
}

function answersOf(tag: string, address: string): readonly string[] {
  return [`${tag} from ${address}`, `${tag} from ${address}`];
}

const addressesOnLo = async (): Promise<string> =>
  await network.server.must(["ip", "-br", "addr", "show", "dev", "lo"]);

async function warningsOf(server: Server): Promise<readonly string[]> {
  const { checks } = (await server.ask(["doctor", "--json"])).json() as DoctorJson;
  return checks.filter(({ ok }) => !ok).map(({ name, found }) => `${name}: ${found}`);
}

afterEach(async () => {
  await network.client.stopStarted();
  await network.server.run(["ip", "link", "del", "up1"]);
  await network.server.reset();
});

describe.each(["ilm run", "ilm apply alone"])("with %s", (way) => {
  test("what DHCP and router advertisements bring is served at once, and the rest does not notice", async () => {
    const { server, client } = network;
    await vethCable(server, client, "up1");
    await client.must(["ip", "addr", "add", "192.0.2.1/24", "dev", "up1"]);
    for (const place of [server, client]) {
      await place.must(["sysctl", "-qw", "net.ipv6.conf.up1.accept_dad=0"]);
      await place.must(["ip", "link", "set", "up1", "up"]);
    }
    const file = server.file(rules);
    if (way === "ilm run") await server.startRun(["-f", file]);
    else await server.ilmDone(["apply", "-f", file]);
    await startDaemons(server, "app");
    const onLo = await addressesOnLo();
    const talks = await Talks.start(client, stays);
    const loads = await Promise.all(
      protocols.map(async (one) => await client.load(one, addressesOf[4].public, 6000, 5)),
    );

    const router = new Router(client, "up1");
    await router.give(10, "2001:db8:a::");
    const dhcp = DhcpClient.start(server, "up1");
    const first = await untilAddress(server, "up1", (one) => one === "192.0.2.10");
    expect(await whoAnswers(client, first)).toEqual(answersOf("app", first));
    const own6 = await untilAddress(server, "up1", (one) => one.startsWith("2001:db8:a:"));
    expect(await whoAnswers(client, own6)).toEqual(answersOf("app", own6));
    const onLease = await Talks.start(client, [own6]);
    await talks.goOn();

    dhcp.release();
    await eventually("the lease is given back", async () =>
      (await server.must(["ip", "-4", "addr", "show", "dev", "up1"])) === "" ? true : null,
    );
    expect(await whoAnswers(client, first, 0.5)).not.toContain(`app from ${first}`);
    await talks.goOn();

    // The next lease is for another address, and the prefix is another.
    await router.give(20, "2001:db8:b::");
    dhcp.renew();
    const second = await untilAddress(server, "up1", (one) => one === "192.0.2.20");
    expect(await whoAnswers(client, second)).toEqual(answersOf("app", second));
    const next6 = await untilAddress(server, "up1", (one) => one.startsWith("2001:db8:b:"));
    expect(await whoAnswers(client, next6)).toEqual(answersOf("app", next6));
    // The old prefix is there until its time is over.
    await onLease.goOn();
    await talks.goOn();
    for (const load of loads) {
      const { failed, answered } = await load.stop();
      expect([failed, Object.keys(answered)]).toEqual([{}, ["app"]]);
    }
    expect(await addressesOnLo()).toBe(onLo);
    expect(await warningsOf(server)).toEqual([]);
    expect((await server.ask(["status", "--check"])).status).toBe(0);
  });
});

describe("a VRRP address between two hosts", () => {
  const two = useNetwork();
  let other: Server;

  const onVirtual = `
mptcp: off
floating: ["${virtual[4]}", "${virtual[6]}"]
mappings:
  - { name: virtual, protocol: [tcp, udp], port: 6002, on: ["${virtual[4]}", "${virtual[6]}"], to: "app:6000" }
`;

  beforeEach(async () => {
    const { client } = two;
    other = await Server.make();
    // The client is where both hosts' cables end.
    await vethCable(other, client, "up2");
    const bridge = ["link add br0 type bridge", "link set br0 up"];
    for (const port of ["up0", "up2"]) {
      bridge.push(`link set ${port} master br0`, `link set ${port} up`);
    }
    bridge.push("addr flush dev up0");
    for (const family of families) {
      const length = family === 4 ? 24 : 64;
      const nodad = family === 4 ? "" : " nodad";
      bridge.push(`addr add ${addressesOf[family].client}/${length} dev br0${nodad}`);
    }
    await client.must(["ip", "-batch", "-"], { input: `${bridge.join("\n")}\n` });
    await other.must(["ip", "addr", "add", "203.0.113.2/24", "dev", "up2"]);
    await other.must(["ip", "addr", "add", "2001:db8::2/64", "dev", "up2", "nodad"]);
    // Whether another host has the address too is keepalived's to know.
    await two.server.must(["sysctl", "-qw", "net.ipv6.conf.up0.accept_dad=0"]);
    await other.must(["sysctl", "-qw", "net.ipv6.conf.up2.accept_dad=0"]);
    await other.must(["ip", "link", "set", "up2", "up"]);
  });

  afterEach(async () => {
    await two.client.stopStarted();
    await two.server.stopStarted();
    await other.destroy();
  });

  /** Waits until it is that host whom clients find, over both families. */
  const untilServed = async (tag: string): Promise<void> => {
    for (const family of families) {
      await eventually(`${tag} is found at ${virtual[family]}`, async () => {
        const who = await two.client.who("tcp", virtual[family], 6000, { timeout_s: 0.5 });
        return who === tag ? true : null;
      });
    }
  };

  /** Who answers on the VRRP addresses, with a mapping for all addresses, and one for these. */
  const everywhere = async (): Promise<readonly string[]> => {
    const seen: string[] = [];
    for (const family of families) {
      for (const protocol of protocols) {
        for (const port of [6000, 6002]) {
          const options = { connected: false };
          const dial = await two.client.dial(protocol, virtual[family], port, options);
          const isFrom = dial.answered && dial.repliedFrom.address === virtual[family];
          seen.push(isFrom ? dial.tag : "nobody");
        }
      }
    }
    return [...new Set(seen)];
  };

  test("is served by the host that has it, from its first connection on, and the other one is well without it", async () => {
    const { server, client } = two;
    const run = await server.startRun(["-f", server.file(`${rules}${onVirtual}`)]);
    await other.startRun(["-f", other.file(`${rules}${onVirtual}`)]);
    await startDaemons(server, "one");
    await startDaemons(other, "two");
    const isWell = async (host: Server): Promise<void> => {
      // What a kernel's FIONREAD answers is the same wherever the address is.
      const warned = (await warningsOf(host)).filter((one) => !one.startsWith("FIONREAD"));
      expect(warned).toEqual([]);
      const { status, text } = await host.ask(["status", "--check"]);
      expect(status, text).toBe(0);
      expect((await host.ask(["audit"])).status).toBe(0);
    };
    const addresses = [`${virtual[4]}/24`, `${virtual[6]}/64`] as const;
    await Host.start(other, ["keepalived", ...addresses, "up2", "100"]);
    const master = await Host.start(server, ["keepalived", ...addresses]);
    const talks = await Talks.start(client, [...stays, "203.0.113.2", "2001:db8::2"]);
    await untilServed("one");
    expect(await everywhere()).toEqual(["one"]);
    await isWell(server);
    await isWell(other);
    const away = await explain(other, "tcp", virtual[4], 6002);
    expect(away).toMatchObject({ verdict: "selected", obstacles: [{ kind: "away", sure: false }] });

    await master.must("kill $(cat /run/keepalived.pid)");
    await untilAddress(other, "up2", (one) => one === virtual[4]);
    await untilAddress(other, "up2", (one) => one === virtual[6]);
    await untilServed("two");
    expect(await everywhere()).toEqual(["two"]);
    const missed = (await other.mappings()).map(({ counters }) => counters.missed);
    expect(new Set(missed)).toEqual(new Set([0]));
    await talks.goOn();
    await isWell(server);
    await isWell(other);

    // What is active needs no process.
    await run.stop();
    await master.must(
      "while [ -e /run/keepalived.pid ]; do sleep 0.05; done; sh /mnt/start-keepalived",
    );
    await untilAddress(server, "up0", (one) => one === virtual[4]);
    await untilAddress(server, "up0", (one) => one === virtual[6]);
    await untilServed("one");
    expect(await everywhere()).toEqual(["one"]);
    await talks.goOn();
  });
});
