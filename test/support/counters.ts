/** What suites ask of the counters, whoever hands over: sk_lookup, or ingress of UDP or TCP. */
import { expect } from "vitest";
import type { Protocol } from "../../src/model/mapping.js";
import type { Client } from "./client.js";
import { addressesOf, families } from "./matrix.js";
import { pinRoot } from "./paths.js";
import { must } from "./process.js";
import type { Server } from "./server.js";

/** -1: there is no such mapping. */
export async function selected(server: Server, name: string): Promise<number> {
  return (await server.mappings()).find((row) => row.name === name)?.counters.selected ?? -1;
}

/**
 * By port, how many dials over both families each daemon answered while `change` was made; none may
 * fail.
 */
export async function answeredDuring(
  client: Client,
  protocol: Protocol,
  ports: readonly number[],
  change: () => Promise<void>,
): Promise<readonly Readonly<Record<string, number>>[]> {
  const loads = await Promise.all(
    ports.map((port) =>
      Promise.all(
        families.map(
          async (family) => await client.load(protocol, addressesOf[family].public, port),
        ),
      ),
    ),
  );
  await change();
  const answered: Record<string, number>[] = [];
  for (const ofPort of loads) {
    const counts: Record<string, number> = {};
    for (const load of ofPort) {
      const result = await load.stop();
      expect(result.failed).toEqual({});
      for (const [name, count] of Object.entries(result.answered)) {
        counts[name] = (counts[name] ?? 0) + count;
      }
    }
    answered.push(counts);
  }
  return answered;
}

/** Somebody detaches what counts the packets that ingress gave, and status says so. */
export async function detachDeliver(server: Server): Promise<void> {
  const link = `${pinRoot}/${server.inode}/registry-*/link_deliver`;
  await must(["sh", "-c", `bpftool link detach pinned ${link}`]);
  const status = await server.ask(["status"]);
  expect(status.text).toMatch(/cgroup\/deliver is not attached: [^\n]*not counted/);
}
