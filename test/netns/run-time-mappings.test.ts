/** Mappings that are added and removed at run time, beside those of the file. */
import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { refused } from "../support/dialler.js";
import { useNetwork } from "../support/network.js";
import { address, answersOn, rulesFor, useApp } from "../support/one-app.js";

const network = useNetwork();

useApp(network);
describe("mappings added at run time", () => {
  for (const withRun of [false, true]) {
    const how = withRun ? "with run at work" : "without run";

    test(`add and remove are in force at once, ${how}`, async () => {
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

  test("a reload whose file ties with an added mapping is refused, and the rules in force stay", async () => {
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
