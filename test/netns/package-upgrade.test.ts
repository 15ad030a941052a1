/**
 * Packages are upgraded and downgraded on a fresh Debian with a real systemd, under load: no
 * connection and no datagram fails, whatever release was there.
 */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BootedHost } from "../support/booted-host.js";
import { buildPackages, carry, debianRoot, packageOf, suites } from "../support/debian.js";
import { Echoes } from "../support/echo.js";
import { addressesOf, families, protocols } from "../support/matrix.js";
import { useNetwork } from "../support/network.js";
import { script } from "../support/paths.js";
import { random } from "../support/random.js";
import { olderFormats, refusesNewer, Release } from "../support/releases.js";
import { sizes } from "../support/sizes.js";
import { configurations, runTimeMappings, underLoad } from "../support/upgrade.js";

const network = useNetwork();
const folder = mkdtempSync(join(tmpdir(), "ilm-upgrades-"));
const chance = random();
const suite = suites[chance.integer(0, suites.length - 1)] ?? suites[0];
/** The newest always; ILM_SEED draws the same ones again. */
const formats = sizes.releases === Infinity ? olderFormats() : olderFormats().slice(-1);

let host: BootedHost;
let ours: string;
let echoes: Echoes;

beforeAll(async () => {
  ({ deb: ours } = await buildPackages(folder));
  host = await BootedHost.boot(network.server, { debian: await debianRoot(suite) });
  await host.must(["sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1"]);
  copyFileSync(script("echo.py"), host.path("/root/echo.py"));
  // In the host's hierarchy of cgroups, as its daemons are.
  echoes = new Echoes(() => host.start(["/usr/bin/python3", "/root/echo.py"]));
  const listen = families.flatMap((family) =>
    protocols.map((protocol) => [protocol, addressesOf[family].daemon, 6000] as const),
  );
  await echoes.start("app", listen, {});
});

afterAll(async () => {
  await host.stop();
  rmSync(folder, { recursive: true, force: true });
});

afterEach(async () => {
  await host.must(["dpkg", "--purge", "ilm"]);
});

async function install(path: string, ...options: readonly string[]): Promise<void> {
  await host.must(["dpkg", ...options, "--install", path], { timeout_ms: 300_000 });
}

async function expectVersion(version: string): Promise<void> {
  const shown = await host.must(["dpkg-query", "--show", "--showformat=${Version}", "ilm"]);
  expect(shown).toBe(version);
}

describe.each(formats)("from the release that writes format %i", (format) => {
  test("to this one and back, no dial fails, and what was added stays", async () => {
    const { client } = network;
    const release = await Release.build(format);
    const older = carry(host, await packageOf(release, ours, folder), "older.deb");
    const newer = carry(host, ours);
    host.write("/etc/ilm/ilm.yaml", configurations.first);
    await install(older);
    await expectVersion(`0.0.${format}-1`);
    await host.must(["ilm", "add", ...runTimeMappings]);
    await underLoad(client, "all", async () => await install(newer));
    const unit = "systemctl show --property=NeedDaemonReload,WatchdogUSec ilm";
    expect((await host.must(unit.split(" "))).trim().split("\n").toSorted()).toEqual([
      "NeedDaemonReload=no",
      "WatchdogUSec=2min",
    ]);
    expect(await host.must(["systemctl", "is-active", "ilm"])).toBe("active\n");
    const status = await host.must(["ilm", "status", "--json"]);
    expect(JSON.parse(status)).toMatchObject({ loaded: true, runtimeMappings: 2 });
    await underLoad(client, "all", async () => await install(newer));
    // The rules stay as they are: the older one says that it does not know the state. One that
    // cannot tell takes over what is in the file, at once.
    const kept = refusesNewer(format) ? "all" : "file";
    await underLoad(client, kept, async () => await install(older, "--force-downgrade"));
    await expectVersion(`0.0.${format}-1`);
    // What docs/upgrade.md says to do.
    const anyway = refusesNewer(format) ? ["--over-newer"] : [];
    const apply = ["ilm", "apply", "-f", "/etc/ilm/ilm.yaml", ...anyway];
    await underLoad(client, "file", async () => await host.must(apply));
    if (!refusesNewer(format)) return;
    // It can take out what it cannot read.
    await install(newer);
    await install(older, "--force-downgrade");
    expect((await host.run(["ilm", "status"])).stderr).toContain("a newer version of ilm made");
    const addresses = ["ip", "-o", "address", "show", "dev", "lo"];
    expect(await host.must(addresses)).toContain(`${addressesOf[4].daemon}/`);
    await host.must(["dpkg", "--remove", "ilm"]);
    expect(await host.run(["test", "-e", "/sys/fs/bpf/ilm"])).toMatchObject({ status: 1 });
    expect(await host.must(addresses)).not.toContain(`${addressesOf[4].daemon}/`);
  });
});
