/** Sockets that another process opened: the mapping follows the socket, not the process. */
import { afterEach, beforeAll, expect, test } from "vitest";
import { endpoint, matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { python, script } from "../support/paths.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { protocol: [tcp, udp], port: 6000, to: app }
`;

beforeAll(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await network.server.stopAll();
});

for (const cell of matrix) {
  test(`socket activation: the first to dial starts the daemon, and is served by it, ${cell.title}`, async () => {
    const { server, client } = network;
    const activator = server.start([
      "systemd-socket-activate",
      ...(cell.protocol === "udp" ? ["--datagram"] : []),
      `--listen=${endpoint(cell.daemon, 6000)}`,
      python,
      script("activated.py"),
    ]);
    await server.waitForListener(cell.protocol, cell.daemon, 6000);
    const row = (await server.listeners()).find(({ address }) => address === cell.daemon);
    expect(row).toMatchObject({ pid: activator.pid, mappings: [expect.any(String)] });
    // It starts the daemon in its own place.
    const who = await client.who(cell.protocol, cell.public, 6000);
    expect(who).toBe(`activated ${activator.pid}`);
    expect(await client.who(cell.protocol, cell.public, 6000)).toBe(who);
  });
}
