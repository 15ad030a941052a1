/** Sockets that somebody else opened: the mapping follows the socket, not the process. */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { addressesOf, families, matrix } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { endpoint } from "../support/matrix.js";
import { python, script } from "../support/paths.js";
import { eventually } from "../support/process.js";

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

describe("nginx with reuseport, whose workers share the sockets that the master opened", () => {
  for (const family of families) {
    const { label, daemon, public: address } = addressesOf[family];

    test(`reloads under load, and none is missed, ${label}`, async () => {
      const { server, client } = network;
      const configuration = server.file(
        `daemon off;
worker_processes 2;
pid ${server.folder}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${server.folder}/nginx-body;
  proxy_temp_path ${server.folder}/nginx-proxy;
  fastcgi_temp_path ${server.folder}/nginx-fastcgi;
  uwsgi_temp_path ${server.folder}/nginx-uwsgi;
  scgi_temp_path ${server.folder}/nginx-scgi;
  server {
    listen ${endpoint(daemon, 6000)} reuseport;
    location / { return 200 'nginx'; }
  }
}
`,
      );
      const nginx = server.start([
        "nginx",
        "-e",
        "stderr",
        "-p",
        server.folder,
        "-c",
        configuration,
      ]);
      await server.waitForListener("tcp", daemon, 6000);
      const group = (await server.listeners()).filter((row) => row.address === daemon);
      expect(group).toMatchObject([
        { groupSize: 2, command: "nginx", handover: "sockmap" },
        { groupSize: 2, command: "nginx", handover: "sockmap" },
      ]);
      const load = { reloading: true };
      const dialling = (async (): Promise<number> => {
        let dials = 0;
        for (; load.reloading; dials += 1) {
          if ((await client.curl(address, 6000)) !== "nginx") throw new Error("not nginx");
        }
        return dials;
      })();
      const workers = async (): Promise<string> =>
        await server.must(["pgrep", "-P", String(nginx.pid)]);
      for (let round = 0; round < 5; round += 1) {
        const before = await workers();
        nginx.signal("SIGHUP");
        await eventually("the workers were replaced", async () => {
          const now = (await workers()).trim().split("\n");
          return now.length === 2 && now.every((pid) => !before.includes(pid)) ? true : null;
        });
      }
      load.reloading = false;
      expect(await dialling).toBeGreaterThan(5);
      // Not at once: its workers would stay.
      await nginx.stop("SIGTERM");
    });
  }
});
