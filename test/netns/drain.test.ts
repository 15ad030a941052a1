/**
 * Destinations that get nobody new: refused on purpose (`to: none`), with weight 0, and drained.
 */
import { writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { addressesOf, matrix } from "../support/matrix.js";
import { addNat, removeRules } from "../support/neighbours.js";
import { eventually } from "../support/process.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const [four, six] = [addressesOf[4], addressesOf[6]];

const rules = `
version: 1
services:
  app: { address: ["${four.daemon}", "${six.daemon}"] }
  spare: { address: ["${four.daemon2}", "${six.daemon2}"] }
mappings:
  - { name: closed, protocol: [tcp, udp], port: 6000-6009, to: none }
  - { name: locked, protocol: [tcp, udp], port: 6010, to: none, existing: never }
  - { name: open, protocol: [tcp, udp], port: 6009, to: app }
  - name: leaving
    protocol: [tcp, udp]
    port: 6020
    to: [{ address: app, weight: 0 }, { address: spare, weight: 1 }]
  - name: left
    protocol: [tcp, udp]
    port: 6021
    to: [{ address: app, weight: 0 }]
    miss: reject
`;

afterEach(async () => {
  await network.server.stopDaemons();
  await removeRules(network.server);
});

for (const cell of matrix) {
  const { protocol, daemon, daemon2 } = cell;

  describe(cell.title, () => {
    for (const isBesideNat of [false, true]) {
      const beside = isBesideNat ? ", beside NAT" : "";

      test(`to: none refuses, also where a wildcard listener would answer, and leaves an exact one its clients${beside}`, async () => {
        const { server, client } = network;
        if (isBesideNat) await addNat(server, cell.family);
        await server.echo("wild", [[protocol, cell.wildcard, 6000]]);
        await server.echo("exact", [
          [protocol, cell.public, 6001],
          [protocol, cell.public, 6010],
        ]);
        await server.echo("app", [[protocol, daemon, 6009]]);
        await server.apply(rules);
        const before = await server.mappings();
        expect(await client.dial(protocol, cell.public, 6000)).toEqual(refused);
        expect(await client.who(protocol, cell.public, 6001)).toBe("exact");
        expect(await client.dial(protocol, cell.public, 6010)).toEqual(refused);
        expect(await client.who(protocol, cell.public, 6009)).toBe("app");
        const missed = async (name: string): Promise<number> => {
          const find = (rows: typeof before) =>
            rows.find((row) => row.name === name && row.protocol === protocol)?.counters.missed;
          return (find(await server.mappings()) ?? 0) - (find(before) ?? 0);
        };
        expect(await missed("closed")).toBe(1);
        expect(await missed("locked")).toBe(1);
      });

      test(`weight 0 gets no new clients, and keeps those that it has${beside}`, async () => {
        const { server, client } = network;
        if (isBesideNat) await addNat(server, cell.family);
        await server.apply(rules.replaceAll("weight: 0", "weight: 1000"));
        await server.echo("app", [
          [protocol, daemon, 6020],
          [protocol, daemon, 6021],
        ]);
        await server.echo("spare", [[protocol, daemon2, 6020]]);
        await server.apply(rules.replaceAll("weight: 0", "weight: 1000"));
        const from = [cell.client, 40_000 + (isBesideNat ? 1 : 0)] as const;
        const heldTo = { from: [...from] as [string, number] };
        const first = await client.dial(protocol, cell.public, 6021, heldTo);
        expect(first).toMatchObject({ tag: "app" });
        await server.apply(rules);
        for (let i = 0; i < 20; i++) {
          expect(await client.who(protocol, cell.public, 6020)).toBe("spare");
        }
        expect(await client.dial(protocol, cell.public, 6021)).toEqual(refused);
        if (protocol === "udp") {
          expect(await client.dial(protocol, cell.public, 6021, heldTo)).toMatchObject({
            tag: "app",
          });
        }
      });
    }
  });
}

const shared = `
version: 1
services:
  app: { address: ["${four.daemon}", "${six.daemon}"] }
  spare: { address: ["${four.daemon2}", "${six.daemon2}"] }
mappings:
  - { name: list, protocol: [tcp, udp], port: 6100, to: [app, spare] }
  - { name: shares, protocol: [tcp, udp], port: 6101, to: [{ address: "app:6100", weight: 9 }, { address: "spare:6100", weight: 1 }] }
  - { name: alone, protocol: [tcp, udp], port: 6102, to: "app:6102" }
`;

describe("ilm drain", () => {
  for (const withRun of [false, true]) {
    const how = withRun ? "with the daemon running" : "without run";

    test(`new clients go to the others at once, open connections and served UDP clients stay, ${how}`, async () => {
      const { server, client } = network;
      const file = server.file(shared);
      if (withRun) await server.startRun(["-f", file]);
      else await server.ilmDone(["apply", "-f", file]);
      const both = (address: string) =>
        [
          ["tcp", address, 6100],
          ["udp", address, 6100],
        ] as const;
      await server.echo("app", [...both(four.daemon), ...both(six.daemon)]);
      await server.echo("spare", [...both(four.daemon2), ...both(six.daemon2)]);
      if (!withRun) await server.ilmDone(["apply", "-f", file]);
      const held: [string, string, number][] = [];
      for (const { public: address, client: own } of [four, six]) {
        const from = [own, 41_000] as [string, number];
        expect(await client.dial("udp", address, 6100, { from })).toMatchObject({ tag: "app" });
        held.push([address, ...from]);
      }
      const drained = await server.ilmDone(["drain", "app:6100"]);
      expect(drained.stdout).toContain("app:6100 gets nobody new");
      for (const port of [6100, 6101]) {
        for (const { public: address } of [four, six]) {
          for (const protocol of ["tcp", "udp"] as const) {
            for (let i = 0; i < 10; i++) {
              expect(await client.who(protocol, address, port)).toBe("spare");
            }
          }
        }
      }
      for (const [address, own, port] of held) {
        expect(await client.dial("udp", address, 6100, { from: [own, port] })).toMatchObject({
          tag: "app",
        });
      }
      const explained = await server.askDone(["explain", "tcp", "203.0.113.1:6100"]);
      expect(explained.stdout).toContain("it is drained, and gets nobody new");
      expect((await server.askDone(["mappings", "list"])).stdout).toContain("(drained)");
      expect((await server.askDone(["status"])).stdout).toMatch(/^drained: +app:6100$/m);
      expect((await server.ilmDone(["drain"])).stdout).toBe("app:6100\n");
      await server.ilmDone(["undrain", "app:6100"]);
      expect(await client.who("tcp", four.public, 6100)).toBe("app");
      expect((await server.ilmDone(["drain"])).stdout).toBe("nothing is drained\n");
      await server.reset();
    });
  }

  test("of one protocol or port leaves the others, and survives reloads, restarts of run and added mappings, until unload", async () => {
    const { server, client } = network;
    const file = server.file(shared);
    await server.echo("app", [
      ["tcp", four.daemon, 6100],
      ["udp", four.daemon, 6100],
      ["tcp", four.daemon, 6102],
    ]);
    await server.echo("spare", [
      ["tcp", four.daemon2, 6100],
      ["udp", four.daemon2, 6100],
    ]);
    const first = await server.startRun(["-f", file]);
    await server.ilmDone(["drain", "tcp:127.0.1.10:6100"]);
    const isDrained = async (): Promise<void> => {
      expect(await client.who("tcp", four.public, 6100)).toBe("spare");
      expect(await client.who("udp", four.public, 6100)).toBe("app");
      expect(await client.who("tcp", four.public, 6102)).toBe("app");
    };
    await isDrained();
    await server.ilmDone(["add", "tcp:6103=127.0.1.10:6100,127.0.1.11:6100"]);
    expect(await client.who("tcp", four.public, 6103)).toBe("spare");
    writeFileSync(file, `${shared}  - { port: 6104, to: "app:6102" }\n`);
    await server.ilmDone(["reload"]);
    await isDrained();
    expect(await client.who("tcp", four.public, 6104)).toBe("app");
    await first.stop("SIGKILL");
    await isDrained();
    const second = await server.startRun(["-f", file]);
    await isDrained();
    await second.stop();
    await server.ilmDone(["unload"]);
    await server.ilmDone(["apply", "-f", file]);
    expect(await client.who("tcp", four.public, 6100)).toBe("app");
  });

  test("is refused for what nobody leads to, and where nobody would be left, unless forced", async () => {
    const { server, client } = network;
    await server.echo("app", [["tcp", four.daemon, 6102]]);
    await server.apply(shared);
    const before = server.generation();
    const refusals = [
      [["drain", "app"], "nobody would be left for new connections to alone"],
      [["drain", "127.0.1.99"], "no mapping leads to 127.0.1.99"],
      [["drain", "shop"], "there is no service shop"],
      [["undrain", "app"], "app is not drained"],
      [["drain", "none"], "none is no destination"],
    ] as const;
    for (const [args, why] of refusals) {
      const result = await server.ilm(args);
      expect(result.status, result.text).not.toBe(0);
      expect(result.stderr).toContain(why);
    }
    expect(server.generation()).toBe(before);
    await server.ilmDone(["drain", "--force", "app"]);
    expect(await client.dial("tcp", four.public, 6102)).toEqual(refused);
    const alone = "nobody is left for new connections to alone: all destinations are drained";
    expect((await server.askDone(["status"])).stdout).toContain(`warning: ${alone}`);
    // What is drained outlasts the file, also where the next one leads nowhere else.
    const next = server.file(shared.replace("to: [app, spare] }", "to: app }"));
    const applied = await server.ilmDone(["apply", "-f", next]);
    expect(applied.stdout).toContain("nobody is left for new connections to list, alone");
    await server.ilmDone(["undrain", "app"]);
    expect(await client.who("tcp", four.public, 6102)).toBe("app");
  });
});

describe("add --for", () => {
  for (const withRun of [false, true]) {
    const how = withRun ? "run removes it" : "no process is there";

    test(`a mapping for a time stops deciding when that is over: ${how}`, async () => {
      const { server, client } = network;
      const file = server.file(shared);
      if (withRun) await server.startRun(["-f", file]);
      else await server.ilmDone(["apply", "-f", file]);
      const places = (address: string, port: number) =>
        [
          ["tcp", address, port],
          ["udp", address, port],
        ] as const;
      await server.echo("app", [...places(four.daemon, 6100), ...places(six.daemon, 6100)]);
      await server.echo("canary", [...places(four.daemon2, 6100), ...places(six.daemon2, 6100)]);
      await server.ilmDone([
        "add",
        "--for",
        "1h",
        "tcp+udp:6100@203.0.113.5=127.0.1.11",
        "tcp+udp:6100@2001:db8::5=fd5e:ed00::11",
      ]);
      const answers = async (): Promise<Set<string>> => {
        const tags = new Set<string>();
        for (const { second } of [four, six]) {
          for (const protocol of ["tcp", "udp"] as const) {
            tags.add(await client.who(protocol, second, 6100));
          }
        }
        return tags;
      };
      expect(await answers()).toEqual(new Set(["canary"]));
      const text = (await server.askDone(["mappings", "--added"])).stdout;
      expect(text).toMatch(/run time, ends in (?:59|60) min/);
      const again = [
        "tcp+udp:6100@203.0.113.5=127.0.1.11",
        "tcp+udp:6100@2001:db8::5=fd5e:ed00::11",
      ];
      const refusal = await server.ilm(["add", "--for", "2s", ...again]);
      expect(refusal.stderr).toContain("already added at run time");
      await server.ilmDone(["add", "--replace", "--for", "2s", ...again]);
      await eventually("the mappings are over", async () => {
        const tags = await answers();
        return tags.size === 1 && tags.has("app") ? true : null;
      });
      const added = (await server.mappings()).filter(({ runtime }) => runtime);
      if (withRun) {
        await eventually("run removes them", async () => {
          const left = (await server.mappings()).filter(({ runtime }) => runtime);
          return left.length === 0 ? true : null;
        });
        return;
      }
      expect(added).toHaveLength(4);
      expect((await server.askDone(["mappings", "--added"])).stdout).toContain("has ended");
      const explained = await server.askDone(["explain", "tcp", "203.0.113.5:6100"]);
      expect(explained.stdout).toContain("it has ended, and the next change removes it");
      await server.ilmDone(["apply", "-f", file]);
      expect((await server.mappings()).filter(({ runtime }) => runtime)).toEqual([]);
    });
  }

  test.each([
    ["0s", "is no time"],
    ["367d", "is longer than 366 days"],
    ["h", "is not a length of time"],
    ["1y", "is not a length of time"],
  ])("--for %s is refused: it %s", async (time, reason) => {
    const result = await network.server.ilm(["add", "--for", time, "tcp:6100=127.0.1.11"]);
    expect(result.status).toBe(2);
    expect(result.stderr).toContain(`--for: "${time}" ${reason}`);
  });
});

describe("to: none", () => {
  test("is no fault: status and mappings say that it is on purpose, and explain names the mapping", async () => {
    const { server } = network;
    await server.apply(rules);
    const explained = await server.askDone(["explain", "tcp", "203.0.113.1:6000"]);
    expect(explained.stdout).toContain("refused on purpose by the mapping closed (to: none)");
    const listed = await server.askDone(["mappings", "closed"]);
    expect(listed.stdout).toMatch(/none +refused on purpose/);
    const down = await server.askDone(["mappings", "--down", "--names"]);
    expect(down.stdout).not.toMatch(/closed|locked/);
    expect((await server.status()).unserved?.mappings.map(({ name }) => name)).not.toContain(
      "closed",
    );
    await server.ilmDone(["add", "tcp:25=none"]);
    const added = (await server.mappings()).find(({ name }) => name === "tcp:25");
    expect(added).toMatchObject({ to: [], miss: "reject", runtime: true });
    await server.ilmDone(["remove", "tcp:25=none"]);
  });
});
