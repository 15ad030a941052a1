/**
 * Text that is already active is recognised by its digest: nothing but its bytes is read, and all
 * is as if it had been.
 */
import { describe, expect, test } from "vitest";
import { serveApi, type ApiHandlers } from "../../src/daemon/server.js";
import { type ApiChange, apiVersion } from "../../src/api/api.js";
import { noGroups } from "../../src/api/rights.js";
import { socketPath } from "../../src/api/socket-path.js";
import { nothingActive } from "../../src/api/result.js";
import { IlmError } from "../../src/errors.js";
import { acquireWriterLock } from "../../src/kernel/lock.js";
import { version } from "../../src/version.js";
import { useNetwork } from "../support/network.js";
import { address, rulesFor, useApp } from "../support/one-app.js";

const network = useNetwork();

useApp(network);

interface Applied {
  readonly changed: boolean;
  readonly generation: number;
  readonly mappings: number;
  readonly repaired: readonly string[];
  readonly warnings: readonly { readonly message: string; readonly file: string }[];
  readonly timing: readonly { readonly step: string }[];
}

async function apply(...args: readonly string[]): Promise<Applied> {
  const { stdout } = await network.server.ilmDone(["apply", ...args, "--json"]);
  return JSON.parse(stdout) as Applied;
}

/** Was the text parsed? */
function wasRead({ timing }: Applied): boolean {
  return timing.some(({ step }) => step.startsWith("reading /") || step === "compiling");
}

const doubtful = `
version: 1
mappings:
  - { name: inside, port: 7000, on: 127.0.1.0/24, to: 127.0.1.10 }
  - { name: away, port: 7001, on: 203.0.113.1, to: 203.0.113.77 }
`;

for (const withRun of [false, true]) {
  describe(withRun ? "with the daemon running" : "without run", () => {
    async function begin(file: string): Promise<void> {
      if (withRun) await network.server.startRun(["-f", file]);
      else await apply("-f", file);
    }

    test("the same text again is not parsed", async () => {
      const file = network.server.file(rulesFor(7000, 7001));
      await begin(file);
      const again = await apply("-f", file);
      expect(again).toMatchObject({ changed: false, generation: 1, mappings: 2 });
      expect(wasRead(again)).toBe(false);
    });

    test("it is not parsed either beside mappings added at run time, which stay", async () => {
      const file = network.server.file(rulesFor(7000));
      await begin(file);
      await network.server.ilmDone(["add", "tcp:7100=127.0.1.10:6000"]);
      const again = await apply("-f", file);
      expect(again).toMatchObject({ changed: false, generation: 2, mappings: 2 });
      expect(wasRead(again)).toBe(false);
      expect(await network.client.who("tcp", address, 7100)).toBe("app");
    });

    test("text that means the same is parsed once", async () => {
      const file = network.server.file(rulesFor(7000));
      await begin(file);
      network.server.file(`# Two lines\n${rulesFor(7000)}`);
      const changed = await apply("-f", file);
      expect(changed).toMatchObject({ changed: false, generation: 1 });
      const again = await apply("-f", file);
      expect(again).toMatchObject({ changed: false, generation: 1 });
      expect(wasRead(again)).toBe(false);
    });

    test("a change and back again are both made", async () => {
      const file = network.server.file(rulesFor(7000));
      await begin(file);
      await apply("-f", network.server.file(rulesFor(7002), "other.yaml"));
      expect(await network.client.who("tcp", address, 7002)).toBe("app");
      await apply("-f", file);
      expect(await network.client.who("tcp", address, 7000)).toBe("app");
      expect(await network.client.dial("tcp", address, 7002)).not.toMatchObject({ ok: true });
    });

    test("its warnings are reported each time, also when the host has changed", async () => {
      const file = network.server.file(doubtful);
      await begin(file);
      const first = await apply("-f", file);
      expect(first.warnings.map(({ message }) => message)).toEqual([
        expect.stringContaining("127.0.1.10 is inside its own mapping"),
        expect.stringContaining("not an address of this host"),
      ]);
      const again = await apply("-f", file);
      expect(wasRead(again)).toBe(false);
      expect(again.warnings).toEqual(first.warnings);
      await network.server.must(["ip", "addr", "add", "203.0.113.77/32", "dev", "lo"]);
      const here = await apply("-f", file);
      expect(here.warnings).toEqual([first.warnings[0]]);
      await network.server.must(["ip", "addr", "del", "203.0.113.77/32", "dev", "lo"]);
    });
  });
}

describe("text that is known", () => {
  test("of more than a megabyte is not parsed, and one that differs in a byte is", async () => {
    const { server } = network;
    const lines = Array.from(
      { length: 20_000 },
      (_, i) => `{"name":"m${i}","port":9000,"on":"10.0.${i >> 8}.${i & 255}","to":"app:6000"}`,
    );
    const head = '{"version":1,"services":{"app":{"address":"127.0.1.10"}}}';
    const text = (port: number): string =>
      [head, ...lines, `{"port":${port},"to":"app:6000"}`, ""].join("\n");
    const file = server.file(text(7000), "large.ndjson");
    await apply("-f", file);
    const again = await apply("-f", file);
    expect(again).toMatchObject({ changed: false, mappings: 20_001 });
    expect(wasRead(again)).toBe(false);
    server.file(text(7001), "large.ndjson");
    expect(await apply("-f", file)).toMatchObject({ changed: true, generation: 2 });
    expect(await network.client.who("tcp", address, 7001)).toBe("app");
  });

  test("is parsed by who has no active rules any more", async () => {
    const file = network.server.file(rulesFor(7000));
    await apply("-f", file);
    await network.server.unload();
    expect(await apply("-f", file)).toMatchObject({ changed: true, generation: 1 });
    expect(await network.client.who("tcp", address, 7000)).toBe("app");
  });

  test("is one thing with the mappings given beside it", async () => {
    const file = network.server.file(rulesFor(7000));
    await apply("-f", file, "tcp:7100=app:6000");
    expect(wasRead(await apply("-f", file, "tcp:7100=app:6000"))).toBe(false);
    const lost = await network.server.ilm(["apply", "-f", file]);
    expect(lost.status).toBe(2);
    expect(lost.text).toContain("would take away tcp:7100, which was given as an argument");
    const { stdout } = await network.server.ilmDone(["status"]);
    expect(stdout).toContain(`${file}, and 1 argument: tcp:7100=app:6000\n`);
    expect(await apply("-f", file, "--replace")).toMatchObject({ changed: true, mappings: 1 });
  });

  test("puts back what was taken away", async () => {
    const file = network.server.file(rulesFor(7000));
    await apply("-f", file);
    await network.server.must(["ip", "addr", "del", "127.0.1.10/32", "dev", "lo"]);
    const again = await apply("-f", file);
    expect(wasRead(again)).toBe(false);
    expect(await network.server.loopbackAddresses()).toContain("127.0.1.10");
  });

  test("is unchanged for diff and for a dry run", async () => {
    const file = network.server.file(rulesFor(7000));
    await apply("-f", file);
    expect((await network.server.ilmDone(["diff", "-f", file])).stdout).toBe("unchanged\n");
    const dry = await apply("-f", file, "--dry-run");
    expect(dry).toMatchObject({ dryRun: true, same: true });
    expect(wasRead(dry)).toBe(false);
  });

  test("is sent whole to a daemon that has other rules by then, or knows no digests", async () => {
    const { server } = network;
    const file = server.file(rulesFor(7000));
    await apply("-f", file);
    const lock = acquireWriterLock(server.inode);
    const changes: ApiChange[] = [];
    let refusal = new IlmError("NOT_FOUND", "other rules are active");
    const handlers: ApiHandlers = {
      status: () => ({
        pid: process.pid,
        version,
        startedAt: "2026-01-02T03:04:05.000Z",
        following: null,
        followed: [],
        lastReload: null,
        reloads: { done: 0, failed: 0 },
      }),
      state: () => {
        throw new IlmError("NOT_LOADED", "nobody asks for it here");
      },
      services: () => [],
      mappings: () => Promise.resolve({ total: 0, mappings: [] }),
      metrics: () => "",
      version: () => ({ api: apiVersion, version }),
      events: { open: () => undefined, refuseIfFull: () => undefined },
      change: (change) => {
        changes.push(change);
        if (change.kind === "reapply") return Promise.reject(refusal);
        return Promise.resolve({ ...nothingActive, generation: 7, mappings: 1, steps: [] });
      },
    };
    const api = await serveApi(socketPath(server.inode), handlers, {
      groups: noGroups,
      log: { log: () => undefined },
    });
    try {
      expect(await apply("-f", file)).toMatchObject({ generation: 7 });
      refusal = new IlmError("USAGE", "there is no POST /v1/reapply");
      expect(await apply("-f", file)).toMatchObject({ generation: 7 });
    } finally {
      await api.close();
      lock.release();
    }
    expect(changes.map(({ kind }) => kind)).toEqual(["reapply", "apply", "reapply", "apply"]);
    const sent = changes[3]?.kind === "apply" ? changes[3].file.read().mappings : [];
    expect(sent.map(({ name }) => name)).toEqual(["tcp:7000"]);
  });
});
