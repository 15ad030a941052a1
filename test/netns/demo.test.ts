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

/** Those that run as a user of their own. */
async function processesOfStockServers(namespaces: readonly string[]): Promise<string[]> {
  const users = await Promise.all(
    (await processesIn(namespaces)).map(async (pid) => {
      const { stdout } = await run(["ps", "-o", "uid=", "-p", pid]);
      return [pid, Number(stdout)] as const;
    }),
  );
  return users.filter(([, uid]) => uid > 0).map(([pid]) => pid);
}

async function demoInJson(command: readonly string[]): Promise<DemoJson> {
  const { status, stdout, stderr } = await run(command);
  expect([status, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as DemoJson;
}

/** Each stock server, what it is, and what it takes for its address. */
function programsOf(servers: DemoJson["servers"]): readonly (readonly unknown[])[] {
  return servers.map(({ name, program, told }) => [
    name,
    /\b(?:nginx|Python|Node)\b/.exec(program)?.[0],
    told,
  ]);
}

/** Who answered on port 80, by what was dialled, while both servers were there. */
function answersOnPort80(dials: DemoJson["dials"]): readonly (readonly [string, string])[] {
  return dials.flatMap(({ dialled, result }) =>
    /^(?:203\.0\.113\.|\[2001:db8::)[34]\]?:80$/.test(dialled) && result.outcome === "answered"
      ? [[dialled, result.answer.daemon] as const]
      : [],
  );
}

const sharers = [
  ["203.0.113.3:80", "shop"],
  ["[2001:db8::3]:80", "shop"],
  ["203.0.113.4:80", "blog"],
  ["[2001:db8::4]:80", "blog"],
];

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

  test("has nginx and Python share port 80 on every address, each reached on its own", async () => {
    const { servers, dials } = await demoInJson([launcher, "demo", "--json"]);
    expect(programsOf(servers)).toEqual([
      ["shop", "nginx", null],
      ["blog", "Python", "[::]:80"],
    ]);
    expect(servers.every(({ uid }) => uid > 0)).toBe(true);
    expect(answersOnPort80(dials)).toEqual(sharers);
  });

  test("has Node's server twice on a system without nginx and Python", async () => {
    // As for anybody without them: what covers them is nothing that can be run.
    const hide = ["/usr/sbin/nginx", "/usr/bin/python3"].map(
      (program) => `mount --bind /dev/null ${program} && `,
    );
    const command = `${hide.join("")}exec ${launcher} demo --json`;
    const { servers, dials } = await demoInJson(["unshare", "--mount", "sh", "-c", command]);
    expect(programsOf(servers)).toEqual([
      ["shop", "Node", "[::]:80"],
      ["blog", "Node", "[::]:80"],
    ]);
    expect(answersOnPort80(dials)).toEqual(sharers);
  });

  test("tells its story with every dial marked as expected", async () => {
    const { status, stdout } = await run([launcher, "demo", "--no-color"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/All \d+ dials ended where they should\.\n$/);
    expect(stdout).not.toContain("✗");
    expect(stdout).toMatch(/ shop:\n +user: 65521\n(?: .*\n)*? +wildcard: rewrite\n/);
    expect(stdout).toContain(" it takes its address for [::]:80\n");
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
    await until(() => killed.stdout.includes("Ctrl-C"));
    const namespaces = namespacesOf(killed.pid);
    const servers = await processesOfStockServers(namespaces);
    expect(servers.length).toBeGreaterThan(1);
    process.kill(killed.pid, "SIGKILL");
    await killed.exited;
    // Nobody else would end them: they are no children of what comes next.
    await until(async () => (await processesOfStockServers(namespaces)).length === 0);
    expect(namespacesOf(killed.pid)).toHaveLength(2);
    expect((await run([launcher, "demo", "--json"])).status).toBe(0);
    expect(namespacesOf(killed.pid)).toEqual([]);
  });
});
