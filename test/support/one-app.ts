/** A daemon on 127.0.1.10:6000, and rules that lead ports to it. */
import { afterEach, beforeEach } from "vitest";
import type { Network } from "./network.js";
import { eventually } from "./process.js";

export const address = "203.0.113.1";

export function rulesFor(...ports: readonly number[]): string {
  return `
version: 1
services:
  app: { address: 127.0.1.10 }
mappings:
${ports.map((port) => `  - { port: ${port}, to: "app:6000" }\n`).join("")}`;
}

/**
 * To a daemon of both families: on the port dialled, on another, and where a second one answers UDP
 * late.
 */
export const keptMovedLate = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: kept, protocol: [tcp, udp], port: 6000, to: app }
  - { name: moved, protocol: udp, port: 6100, to: "app:6000" }
  - { name: late, protocol: udp, port: 6200, to: "app:6001" }
`;

/** The daemon for each test of the file; after it neither daemons nor rules. */
export function useApp(network: Network): void {
  beforeEach(async () => {
    await network.server.echo("app", [
      ["tcp", "127.0.1.10", 6000],
      ["udp", "127.0.1.10", 6000],
    ]);
  });

  afterEach(async () => {
    await network.server.reset();
  });
}

/** Waits until the daemon answers at the port. */
export async function answersOn({ client }: Network, port: number): Promise<void> {
  await eventually(`port ${port} is mapped`, async () =>
    (await client.who("tcp", address, port)) === "app" ? true : null,
  );
}
