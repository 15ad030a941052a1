/** Mappings that are added and removed at run time, beside those of the file. */
import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ApiChange } from "../../src/api/api.js";
import { requestChange } from "../../src/api/client.js";
import { parseMappingArgument } from "../../src/config/argument.js";
import type { Mapping } from "../../src/model/mapping.js";
import { refused } from "../support/dialler.js";
import { useNetwork } from "../support/network.js";
import { address, answersOn, rulesFor, useApp } from "../support/one-app.js";

const network = useNetwork();

useApp(network);

function mappingsOf(port: number): Mapping[] {
  return parseMappingArgument(`tcp:${port}=127.0.1.10:6000`, []);
}

describe("mappings added at run time", () => {
  for (const withRun of [false, true]) {
    const how = withRun ? "with the daemon running" : "without run";

    test(`add and remove are active at once, ${how}`, async () => {
      const { server, client } = network;
      const file = server.file(rulesFor(7000));
      if (withRun) await server.startRun(["-f", file]);
      else await server.ilmDone(["apply", "-f", file]);
      await server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]);
      expect(await client.who("tcp", address, 7100)).toBe("app");
      expect(await client.who("tcp", address, 7000)).toBe("app");
      expect((await server.mappings()).map(({ name }) => name).sort()).toEqual([
        "tcp:7000",
        "tcp:7100",
      ]);
      await server.ilmDone(["remove", "tcp:7100"]);
      expect(await client.dial("tcp", address, 7100)).toEqual(refused);
      expect(await client.who("tcp", address, 7000)).toBe("app");
    });

    test(`a tie between the file and an added mapping is refused, ${how}`, async () => {
      const { server, client } = network;
      const file = server.file(rulesFor(7000));
      if (withRun) await server.startRun(["-f", file]);
      else await server.ilmDone(["apply", "-f", file]);
      const before = await server.status();
      const result = await server.ilm(["add", "tcp:7000=127.0.1.11:6000"]);
      expect(result.status).toBe(3);
      expect(result.stderr).toContain(`${file}:6`);
      expect(server.generation()).toBe(before.generation);
      expect(await client.who("tcp", address, 7000)).toBe("app");
    });
  }

  test("many changes in a row over the socket: each decides from its answer on, with refused ones and reloads between", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    await server.startRun(["-f", file]);
    const change = async (wanted: ApiChange): Promise<void> => {
      expect(await requestChange(server.inode, wanted)).toMatchObject({ changed: true });
    };
    const ports = Array.from({ length: 30 }, (_, i) => 7100 + 17 * i);
    let fileHas = 7000;
    for (const [i, port] of ports.entries()) {
      await change({ kind: "add", mappings: mappingsOf(port), replace: false });
      expect(await client.who("tcp", address, port)).toBe("app");
      const again = requestChange(server.inode, {
        kind: "add",
        mappings: mappingsOf(fileHas),
        replace: false,
      });
      await expect(again).rejects.toThrow(/nothing was changed/);
      if (i % 10 !== 5) continue;
      fileHas += 1;
      writeFileSync(file, rulesFor(fileHas));
      await answersOn(network, fileHas);
      expect(await client.dial("tcp", address, fileHas - 1)).toEqual(refused);
    }
    for (const port of [fileHas, ...ports]) {
      expect(await client.who("tcp", address, port)).toBe("app");
    }
    const [first, ...others] = ports;
    for (const port of others) {
      await change({ kind: "remove", names: [`tcp:${port}`] });
      expect(await client.dial("tcp", address, port)).toEqual(refused);
    }
    for (const port of [fileHas, first ?? 0]) {
      expect(await client.who("tcp", address, port)).toBe("app");
    }
  });

  test("an added mapping survives reloads and restarts of run, until unload", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    const first = await server.startRun(["-f", file]);
    await server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]);
    writeFileSync(file, rulesFor(7001));
    await answersOn(network, 7001);
    expect(await client.who("tcp", address, 7100)).toBe("app");
    await first.stop("SIGKILL");
    expect(await client.who("tcp", address, 7100)).toBe("app");
    const second = await server.startRun(["-f", file]);
    expect(await client.who("tcp", address, 7100)).toBe("app");
    await second.stop();
    await server.ilmDone(["unload"]);
    await server.ilmDone(["apply", "-f", file]);
    expect(await client.dial("tcp", address, 7100)).toEqual(refused);
  });

  test("a reload whose file ties with an added mapping is refused, and the active rules stay", async () => {
    const { server, client } = network;
    const file = server.file(rulesFor(7000));
    const run = await server.startRun(["-f", file]);
    await server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]);
    writeFileSync(file, rulesFor(7000, 7100));
    await run.process.waitForOutput(new RegExp(`${file}:7`));
    expect(await client.who("tcp", address, 7000)).toBe("app");
    expect(await client.who("tcp", address, 7100)).toBe("app");
  });

  test("removing what is not there is exit 1, and removing the file's own is refused with its place", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    await server.ilmDone(["apply", "-f", file]);
    expect((await server.ilm(["remove", "tcp:9999"])).status).toBe(1);
    const own = await server.ilm(["remove", "tcp:7000"]);
    expect(own.status).not.toBe(0);
    expect(own.stderr).toContain(file);
    expect((await server.mappings()).map(({ name }) => name)).toEqual(["tcp:7000"]);
  });
});
