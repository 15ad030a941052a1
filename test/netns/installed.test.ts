/** The packages: on fresh Debians with a real systemd, and npm's beside the machine's Node. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BootedHost } from "../support/booted-host.js";
import {
  buildPackages,
  carry,
  debianRoot,
  filesOf,
  type Packages,
  suites,
} from "../support/debian.js";
import { useNetwork } from "../support/network.js";
import { python } from "../support/paths.js";
import { Background, eventually, must } from "../support/process.js";

const network = useNetwork();
const folder = mkdtempSync(join(tmpdir(), "ilm-packages-"));
let built: Packages;

beforeAll(async () => {
  built = await buildPackages(folder);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const web = `
[Service]
User=www-data
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.1.10 --directory /srv/web 8000
`;
const rules = `
version: 1
services:
  web: { address: 127.0.1.10, unit: web.service, publish: { 80: 8000 } }
`;

describe.each(suites)("on %s", (suite) => {
  let host: BootedHost;
  let before: string[] = [];

  beforeAll(async () => {
    host = await BootedHost.boot(network.server, { debian: await debianRoot(suite) });
    before = await filesOf(host);
  });
  afterAll(async () => {
    await host.stop();
  });

  test("it installs without anything else, and its service runs", async () => {
    await host.must(["dpkg", "--install", carry(host, built.deb)]);
    expect(await host.must(["systemctl", "is-active", "ilm"])).toBe("active\n");
    expect(await host.must(["systemctl", "is-enabled", "ilm"])).toBe("enabled\n");
    expect(await host.must(["ilm", "status"])).toMatch(
      /source: +\/etc\/ilm\/ilm.yaml\nmappings: +0,/,
    );
  });

  test("the service follows the file, and brings a daemon what is dialled", async () => {
    host.write("/srv/web/index.html", "from the host");
    await host.units({ "web.service": web });
    await host.must(["systemctl", "start", "web"]);
    host.write("/etc/ilm/ilm.yaml", rules);
    await host.must(["systemctl", "reload", "ilm"]);
    await host.must(["ilm", "wait", "web"]);
    expect(await network.client.curl("203.0.113.5", 80)).toBe("from the host");
  });

  test("the manual and the completions are where their programs look", async () => {
    expect(await host.must(["man", "--where", "ilm", "ilm-run"])).toContain("ilm.1.gz");
    expect(await host.must(["bash", "-n", "/usr/share/bash-completion/completions/ilm"])).toBe("");
  });

  test("removed, it leaves its configuration, and purged nothing", async () => {
    await host.must(["dpkg", "--remove", "ilm"]);
    expect(await host.run(["test", "-e", "/sys/fs/bpf/ilm"])).toMatchObject({ status: 1 });
    await expect(network.client.curl("203.0.113.5", 80)).rejects.toThrow(/refused|exit 7/);
    expect(await host.must(["cat", "/etc/ilm/ilm.yaml"])).toBe(rules);
    await host.must(["dpkg", "--purge", "ilm"]);
    await host.must(["systemctl", "stop", "web"]);
    const left = (await filesOf(host)).filter((path) => !before.includes(path));
    expect(left.filter((path) => !/^\/(srv|etc\/systemd\/system\/web)/.test(path))).toEqual([]);
    await eventually("no process of it is left", async () =>
      (await host.run(["pgrep", "-x", "ilm"])).status === 1 ? true : null,
    );
  });
});

test("lintian finds nothing in the Debian package", async () => {
  const said = await must(["lintian", "--allow-root", "--fail-on", "warning", built.deb], {
    timeout_ms: 300_000,
  });
  expect(said).toBe("");
});

test("another build of the same commit gives the same bytes", async () => {
  const other = join(folder, "other");
  const again = await buildPackages(other);
  expect(readFileSync(again.deb).equals(readFileSync(built.deb))).toBe(true);
  expect(readFileSync(again.npm).equals(readFileSync(built.npm))).toBe(true);
});

test("npm installs it without a script, and the command does its work", async () => {
  const { server, client } = network;
  const prefix = join(folder, "global");
  const install = ["npm", "install", "--global", "--prefix", prefix, "--prefer-offline", built.npm];
  await must([...install, "--ignore-scripts", "--no-audit", "--no-fund"], { timeout_ms: 300_000 });
  const ilm = join(prefix, "bin/ilm");
  writeFileSync(join(folder, "index.html"), "from npm");
  const serve = [
    python,
    "-m",
    "http.server",
    "--bind",
    "127.0.1.10",
    "--directory",
    folder,
    "8000",
  ];
  const daemon = new Background(server.inside(serve));
  try {
    await must(server.inside([ilm, "apply", "tcp:80=127.0.1.10:8000"]));
    await must(server.inside([ilm, "wait", "tcp:80"]));
    expect(await client.curl("203.0.113.5", 80)).toBe("from npm");
  } finally {
    await daemon.stop();
    await must(server.inside([ilm, "unload"]));
  }
});
