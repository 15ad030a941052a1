/** The host that suites boot: a systemd as on any host, and nothing of it outside or afterwards. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { BootedHost, useBootedHost } from "../support/booted-host.js";
import { rootCgroup } from "../support/cgroup.js";
import { makeNetwork, type Network, useNetwork } from "../support/network.js";
import { eventually, must, run } from "../support/process.js";
import type { Server } from "../support/server.js";

const network = useNetwork();
const host = useBootedHost(network);

/** A unit whose daemon answers HTTP with the contents of a folder. */
const web = `
[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.1.10 --directory /srv/web 8000
`;

async function isListening(on: BootedHost, port: number): Promise<void> {
  await eventually(`something listens on port ${port}`, async () =>
    (await on.must(["ss", "-Hltn", `sport = :${port}`])) === "" ? null : true,
  );
}

async function cgroupsOf({ server }: Network): Promise<string> {
  return await must(["find", await rootCgroup(), "-name", `${server.name}-*`]);
}

test("no unit of the machine starts by itself, and each can be started", async () => {
  const running = "systemctl list-units --type=service --state=running --plain --no-legend";
  const services = (await host().must(running.split(" "))).trim().split("\n");
  expect(services.map((line) => line.split(" ")[0])).toEqual(["systemd-journald.service"]);
  await host().must(["systemctl", "start", "nginx"]);
  expect(await host().must(["systemctl", "is-active", "nginx"])).toBe("active\n");
  expect(await network.client.curl("203.0.113.5", 80)).toContain("nginx");
  await host().must(["systemctl", "stop", "nginx"]);
});

test("ilm works there, knows a daemon by its unit, and brings it what the client dials", async () => {
  host().write("/srv/web/index.html", "from the host");
  await host().units({ "web.service": web });
  await host().must(["systemctl", "start", "web"]);
  await isListening(host(), 8000);
  const rules = `
version: 1
services:
  web: { address: 127.0.1.10, unit: web.service, publish: { 8080: 8000 } }
`;
  host().write("/etc/ilm.yaml", rules);
  await host().ilmDone(["apply", "-f", "/etc/ilm.yaml"]);
  expect(await network.client.curl("203.0.113.5", 8080)).toBe("from the host");
  const listeners = (await host().ilm(["listeners", "--json"])).json();
  expect(listeners).toMatchObject([{ address: "127.0.1.10", unit: "web.service" }]);
  const elsewhere = await network.server.ilm(["status", "--json"]);
  expect(elsewhere.text).not.toContain("8080");
});

test("a command that is run there is in the host's namespaces and its cgroups", async () => {
  expect(await host().must(["cat", "/proc/1/comm"])).toBe("systemd\n");
  expect(await host().must(["cat", "/proc/self/cgroup"])).toContain("0::/commands.scope\n");
  const failing = await host().run(["sh", "-c", "cat; exit 7"], { input: "said" });
  expect(failing).toMatchObject({ status: 7, stdout: "said" });
});

test("what is written there is not on the machine", async () => {
  host().write("/etc/systemd/system/of-the-host.service", web);
  expect(readFileSync(host().path("/etc/systemd/system/of-the-host.service"), "utf8")).toBe(web);
  await host().must(["touch", "/var/lib/of-the-host"]);
  expect(existsSync("/etc/systemd/system/of-the-host.service")).toBe(false);
  expect(existsSync("/var/lib/of-the-host")).toBe(false);
});

test("beside another one, each has its own units, and nothing of the one that stops stays", async () => {
  const other = await makeNetwork();
  const hosts: BootedHost[] = [];
  const boot = async (): Promise<BootedHost> => {
    const booted = await BootedHost.boot(other.server);
    hosts.push(booted);
    return booted;
  };
  try {
    const second = await boot();
    second.write("/srv/web/index.html", "from the second");
    await second.units({ "web.service": web.replace("127.0.1.10", "0.0.0.0") });
    await second.must(["systemctl", "start", "web"]);
    await isListening(second, 8000);
    expect(await other.client.curl("203.0.113.5", 8000)).toBe("from the second");
    expect(await host().must(["systemctl", "is-system-running"])).toMatch(/running|degraded/);

    const members = (await must(["ip", "netns", "pids", other.server.name])).trim();
    expect(members.split("\n").length).toBeGreaterThan(3);
    await second.stop();
    expect((await must(["ip", "netns", "pids", other.server.name])).trim()).toBe("");
    expect(await cgroupsOf(other)).toBe("");
    const mounts = await run(["grep", other.server.folder, "/proc/self/mountinfo"]);
    expect(mounts.stdout).toBe("");

    const again = await boot();
    const left = await again.run(["systemctl", "cat", "web.service"]);
    expect(left.status, left.stdout).not.toBe(0);
  } finally {
    for (const booted of hosts) await booted.stop();
    await other.destroy();
  }
});

test("one that cannot be booted says why, and leaves nothing", async () => {
  const other = await makeNetwork();
  try {
    const unable = Object.create(other.server) as Server;
    unable.inside = () => ["sh", "-c", "echo no overlay here >&2; exit 1"];
    await expect(BootedHost.boot(unable)).rejects.toThrow(
      /no host could be booted[^]*no overlay here/,
    );
    expect(await cgroupsOf(other)).toBe("");
  } finally {
    await other.destroy();
  }
});
