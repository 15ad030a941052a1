/**
 * One CPU decides while the other changes the rules as fast as it can: every decision is of one
 * rule set, and none of both.
 */
import { availableParallelism } from "node:os";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { builtRoot } from "../support/paths.js";
import { sizes } from "../support/sizes.js";
import { ENOUGH_GENERATIONS, daemons, ways } from "./generations-of.js";

const network = useNetwork();
const worker = `${builtRoot}test/fault/generations.js`;

beforeEach(async () => {
  for (const address of daemons) await network.server.echo(address, [["tcp", address, 7000]]);
});

afterEach(async () => {
  await network.server.reset();
});

describe.each(ways)("%s", (way) => {
  test(
    `${sizes.decisions} decisions are each of one of the rule sets that take turns`,
    { timeout: 120_000 + 10 * sizes.decisions },
    async () => {
      const { server } = network;
      const on = (cpu: number, ...words: readonly string[]): readonly string[] => [
        "taskset",
        "-c",
        String(cpu),
        "node",
        worker,
        ...words,
      ];
      const writer = server.start(on(availableParallelism() - 1, "write", way));
      await writer.waitForOutput(/writing/);
      const stdout = await server.must(on(0, "read", String(sizes.decisions)), {
        timeout_ms: 60_000 + 10 * sizes.decisions,
      });
      const read = JSON.parse(stdout) as { decisions: number; generations: number; mixed: unknown };
      writer.closeInput();
      const { status, stdout: written } = await writer.exited;
      expect(status).toBe(0);
      expect(read).toMatchObject({ mixed: [] });
      expect(read.decisions).toBeGreaterThanOrEqual(sizes.decisions);
      expect(read.generations).toBeGreaterThanOrEqual(ENOUGH_GENERATIONS);
      const { changes, overlays } = JSON.parse(written.split("\n").at(-2) ?? "") as {
        changes: number;
        overlays: number;
      };
      expect(changes).toBeGreaterThanOrEqual(10);
      expect(overlays).toBe(way === "overlay" ? changes : 0);
    },
  );
});

test("an explanation that other rules overtake is of the rules that are active then", async () => {
  const stdout = await network.server.must(["node", worker, "overtaken"]);
  expect(JSON.parse(stdout)).toEqual({
    generation: 2,
    mapping: 3,
    matchedBy: "prefix",
    verdict: "selected",
  });
});
