/**
 * Changes that wait, go back, are kept, and destinations that are drained, on a host as people have
 * it: NAT of both families, a stateful firewall, and a program of somebody else at ingress.
 */
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import type { MappingsJson } from "../../src/json/mappings.js";
import { addressesOf, families, protocols } from "../support/matrix.js";
import { addNeighbours, removeRules, untilRegistered } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { eventually, type Background } from "../support/process.js";
import { timeIsOver } from "../support/time-over.js";

const network = useNetwork();
const LONG = "3600";

const services = `
version: 1
services:
  old: { address: [127.0.1.10, "fd5e:ed00::10"] }
  new: { address: [127.0.1.11, "fd5e:ed00::11"] }
mappings:
  - { name: app, protocol: [tcp, udp], port: 6000, to: `;
const before = `${services}old }\n`;
const after = `${services}new }\n  - { name: more, protocol: [tcp, udp], port: 7000, to: "new:6000" }\n`;
const both = `${services}[old, new] }\n  - { name: held, port: 6001, to: [old, new] }\n`;

beforeEach(async () => {
  const { server } = network;
  for (const tag of ["old", "new"] as const) {
    const places = families.flatMap((family) => {
      const { daemon, daemon2 } = addressesOf[family];
      const address = tag === "old" ? daemon : daemon2;
      return protocols.map((protocol) => [protocol, address, 6000] as const);
    });
    await server.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"]);
    await server.echo(tag, places);
  }
  await addNeighbours(server, "6000, 6001, 7000");
});

afterEach(async () => {
  await network.client.stopStarted();
  await network.server.stopStarted();
  await removeRules(network.server);
  await network.server.reset();
});

/** Who answers on a port, over both families and protocols; one word if all alike. */
async function answers(port = 6000): Promise<string> {
  const seen = new Set<string>();
  for (const family of families) {
    for (const protocol of protocols) {
      const { public: dialled } = addressesOf[family];
      seen.add(await network.client.who(protocol, dialled, port));
    }
  }
  return [...seen].join();
}

/** The open connections at each destination: of the old daemon, and of the new one. */
async function open(): Promise<unknown> {
  const shown = await network.server.askDone(["mappings", "held", "--json"]);
  return (shown.json() as MappingsJson)[0]?.to.map(({ connections }) => connections);
}

/** Opens a connection over each family, and keeps both until the result is closed. */
async function hold(): Promise<readonly Background[]> {
  const all = families.map((family) =>
    network.client.startPython("hold.py", ["dial", addressesOf[family].public, "6001", "1"]),
  );
  for (const one of all) await one.waitForOutput(/ready/);
  return all;
}

describe.each([false, true])("with run: %s", (withRun) => {
  test("a change decides for all packets, and goes back or stays", async () => {
    const { server } = network;
    const [first, second] = [server.file(before), server.file(after)];
    await server.ilmDone(["apply", "-f", first]);
    if (withRun) await server.startRun(["-f", first]);
    expect(await answers()).toBe("old");
    for (const end of ["back", "time", "kept"] as const) {
      await server.ilmDone(["apply", "-f", second, "--confirm", LONG]);
      expect(await answers(), end).toBe("new");
      expect(await answers(7000), end).toBe("new");
      if (end === "back") await server.ilmDone(["rollback"]);
      else if (end === "time") await timeIsOver(server);
      else await server.ilmDone(["confirm"]);
      expect(await answers(), end).toBe(end === "kept" ? "new" : "old");
      if (end !== "kept") expect(await answers(7000), end).toBe("ECONNREFUSED");
      if (end === "time" && withRun) {
        await eventually("run has settled it", async () =>
          (await server.askDone(["history"])).stdout.includes("not confirmed, went back to")
            ? true
            : null,
        );
        expect(await answers()).toBe("old");
      }
    }
  });

  test("new clients go elsewhere while a destination is drained, and connections are counted where they are", async () => {
    const { server } = network;
    const file = server.file(both);
    await server.ilmDone(["apply", "-f", file]);
    if (withRun) {
      await server.startRun(["-f", file]);
      await untilRegistered(server);
    }
    for (const { daemon, daemon2 } of Object.values(addressesOf)) {
      for (const address of [daemon, daemon2]) {
        const listener = server.startPython("hold.py", ["listen", address, "6001"]);
        await listener.waitForOutput(/ready/);
      }
    }
    const held = await hold();
    const { public: dialled, client: own } = addressesOf[4];
    const served = { from: [own, 40_000] as [string, number] };
    expect(await network.client.who("udp", dialled, 6000, served)).toBe("old");
    await server.ilmDone(["drain", "old"]);
    await hold();
    expect(await open()).toEqual([1, 1, 1, 1]);
    expect(await answers()).toBe("new");
    expect(await network.client.who("udp", dialled, 6000, served)).toBe("old");
    // What is drained stays so in a change that waits, and when that goes back.
    const other = server.file(`${both}  - { port: 7000, to: "new:6000" }\n`);
    await server.ilmDone(["apply", "-f", other, "--confirm", LONG]);
    expect(await answers()).toBe("new");
    await timeIsOver(server);
    expect(await answers()).toBe("new");
    for (const one of held) one.closeInput();
    const idle = await server.ilmDone(["drain", "tcp:old:6001", "--until-idle"]);
    expect(idle.stdout).toContain("nothing is open there any more");
    expect(await open()).toEqual([0, 0, 1, 1]);
    await server.ilmDone(["undrain", "old", "tcp:old:6001"]);
    expect(await answers()).toBe("old");
  });
});
