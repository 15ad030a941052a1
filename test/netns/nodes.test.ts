// Goal: each version of Node that the product is for runs it. What each of them does in full is
// in all other suites, which take turns (test/support/nodes.ts).
import { readlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterEach, expect, inject, test } from "vitest";
import { nodeFor } from "../support/nodes.js";
import { rulesFor } from "../support/one-app.js";
import { useNetwork } from "../support/network.js";

const network = useNetwork();
const nodes = inject("nodes");
const path = process.env["PATH"];

afterEach(async () => {
  process.env["PATH"] = path;
  await network.server.reset();
});

test.each(nodes)("Node %s runs the daemon and the commands", async (_, folder) => {
  const { server, client } = network;
  process.env["PATH"] = [folder, path].join(delimiter);
  await server.echo("app", [["tcp", "127.0.1.10", 6000]]);
  const { process: daemon } = await server.startRun(["-f", server.file(rulesFor(7000))]);
  expect(readlinkSync(`/proc/${daemon.pid}/exe`)).toBe(join(folder, "node"));
  expect(await client.who("tcp", "203.0.113.1", 7000)).toBe("app");
  await server.ilmDone(["add", "tcp:7001=127.0.1.10:6000"]);
  expect(await client.who("tcp", "203.0.113.1", 7001)).toBe("app");
  expect((await server.ilmDone(["explain", "tcp", "203.0.113.1:7001"])).stdout).toContain(
    "tcp:7001",
  );
  await server.stopAll();
});

test("each version has suites, and ILM_NODE chooses one for all", () => {
  const suites = Array.from({ length: 100 }, (_, index) => `suite-${index}.test.ts`);
  const before = process.env["ILM_NODE"];
  try {
    delete process.env["ILM_NODE"];
    const chosen = new Set(suites.map((suite) => nodeFor(suite, nodes)?.[0]));
    expect(chosen).toEqual(new Set(nodes.map(([version]) => version)));
    process.env["ILM_NODE"] = "22";
    for (const suite of suites) expect(nodeFor(suite, nodes)?.[0]).toMatch(/^22\./);
    process.env["ILM_NODE"] = "18";
    expect(() => nodeFor("suite", nodes)).toThrow(/ILM_NODE is one of 20\..*; not "18"/);
  } finally {
    if (before !== undefined) process.env["ILM_NODE"] = before;
    else delete process.env["ILM_NODE"];
  }
});
