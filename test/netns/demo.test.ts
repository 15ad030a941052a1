/** `ilm demo`: what `make run` shows is true, and nothing stays behind, however it ends. */
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { demo as demoShape, type DemoJson } from "../../src/json/demo.js";
import { conforms } from "../support/conforms.js";
import { Background, run, words } from "../support/process.js";

const launcher = "bin/ilm";

/** Namespaces of the demo that `pid` is, or was. */
function namespacesOf(pid: number): string[] {
  const folder = "/run/netns";
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => name.startsWith(`ilm-demo-${pid}-`));
}

async function processesIn(namespaces: readonly string[]): Promise<string[]> {
  const pids: string[] = [];
  for (const name of namespaces) {
    const { stdout } = await run(["ip", "netns", "pids", name]);
    pids.push(...words(stdout));
  }
  return pids;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("it did not happen within a minute");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("the demo", () => {
  test("reaches TCP and UDP daemons over IPv4 and IPv6, and says so as JSON alone", async () => {
    const demo = new Background([launcher, "demo", "--json"]);
    const { status, stdout, stderr } = await demo.exited;
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const document = JSON.parse(stdout) as DemoJson;
    expect(conforms(demoShape, document)).toEqual([]);
    expect(document.problems).toEqual([]);
    expect(document.ok).toBe(true);
    const dialled = document.dials.map((dial) => `${dial.protocol} ${dial.dialled}`);
    expect(dialled).toEqual(
      expect.arrayContaining([
        "tcp 203.0.113.1:80",
        "tcp [2001:db8::1]:80",
        "udp 203.0.113.1:53",
        "udp [2001:db8::1]:53",
      ]),
    );
    expect(namespacesOf(demo.pid)).toEqual([]);
  });

  test("tells its story with every dial marked as expected", async () => {
    const { status, stdout } = await run([launcher, "demo", "--no-color"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/All \d+ dials ended where they should\.\n$/);
    expect(stdout).not.toContain("✗");
  });

  test("that is interrupted ends by the signal and leaves nothing behind", async () => {
    const demo = new Background([launcher, "demo"]);
    await until(() => demo.stdout.includes("2. "));
    process.kill(demo.pid, "SIGINT");
    expect((await demo.exited).signal).toBe("SIGINT");
    expect(namespacesOf(demo.pid)).toEqual([]);
  });

  test("that is kept stays until it is told to end, which is success", async () => {
    const demo = new Background([launcher, "demo", "--keep"]);
    await until(() => demo.stdout.includes("Ctrl-C"));
    const namespaces = namespacesOf(demo.pid);
    expect(namespaces).toHaveLength(2);
    expect((await processesIn(namespaces)).length).toBeGreaterThan(3);
    process.kill(demo.pid, "SIGINT");
    expect((await demo.exited).status).toBe(0);
    expect(namespacesOf(demo.pid)).toEqual([]);
  });

  test("that was killed is cleared away by the next", async () => {
    const killed = new Background([launcher, "demo", "--keep"]);
    await until(() => killed.stdout.includes("3. "));
    process.kill(killed.pid, "SIGKILL");
    await killed.exited;
    const namespaces = namespacesOf(killed.pid);
    expect(namespaces).toHaveLength(2);
    expect((await run([launcher, "demo", "--json"])).status).toBe(0);
    expect(namespacesOf(killed.pid)).toEqual([]);
  });
});
