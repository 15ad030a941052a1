/** The packages: on fresh Debians with a real systemd, and npm's beside the machine's Node. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
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
import { fetchNodes, nodeFor } from "../support/nodes.js";
import { eventually, must } from "../support/process.js";

const network = useNetwork();
const folder = mkdtempSync(join(tmpdir(), "ilm-packages-"));
/** What npm installs globally, with nothing but what is in the package and koffi. */
const prefix = join(folder, "global");
let built: Packages;

beforeAll(async () => {
  built = await buildPackages(folder);
  const install = ["npm", "install", "--global", "--prefix", prefix, "--prefer-offline", built.npm];
  await must([...install, "--ignore-scripts", "--no-audit", "--no-fund"], { timeout_ms: 300_000 });
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

/** Also more often in a while than systemd lets administrators do it. */
const restart = ["sh", "-c", "systemctl reset-failed ilm && exec systemctl restart ilm"];

/** A watchdog, and a restart, that do not have to be waited for. */
const soon = `
[Service]
WatchdogSec=1
RestartSec=100ms
`;

/** Rights of others, and metrics. */
const rights = `
[Unit]
StartLimitIntervalSec=0
[Service]
Environment="ILM_RUN_OPTIONS=--readers daemon --writers www-data --metrics 127.0.0.1:9465"
`;

/** Prints what is at an address; neither curl nor wget is on a fresh Debian. */
const python3 = [
  "python3",
  "-c",
  "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())",
];

/** The most that systemd-analyze may find of what the units could do without, of 100. */
const EXPOSURE = 28;

/** Dials the daemon again and again, and knows what came of it. */
class Dials {
  readonly #came = new Set<string>();
  #ends = false;
  readonly #done = this.#dial();

  async #dial(): Promise<void> {
    do {
      const answer = network.client.curl("203.0.113.5", 80);
      this.#came.add(await answer.catch((error: unknown) => String(error)));
    } while (!this.#ends);
  }

  async stop(): Promise<ReadonlySet<string>> {
    this.#ends = true;
    await this.#done;
    return this.#came;
  }
}

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
    const mainPid = ["systemctl", "show", "--property=MainPID", "--value", "ilm"];
    expect(await host.must(["pgrep", "-x", "ilm"])).toBe(await host.must(mainPid));
    // Daemons wait for it by way of this, which nothing else starts here.
    expect(await host.must(["systemctl", "is-active", "network.target"])).toBe("active\n");
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

  test("in the confinement of its unit the daemon does all of its work", async () => {
    const { client } = network;
    await host.units({ "ilm.service.d/rights.conf": rights });
    await host.must(restart);
    await host.must(["runuser", "-u", "www-data", "--", "ilm", "add", "tcp:81=web:8000"]);
    await host.must(["runuser", "-u", "daemon", "--", "ilm", "wait", "tcp:81"]);
    expect(await client.curl("203.0.113.5", 81)).toBe("from the host");
    const page = await host.must([...python3, "http://127.0.0.1:9465/metrics"]);
    expect(page).toMatch(/^ilm_lookups_total\{.*"selected".*\} [1-9]/m);
    // What it puts back.
    await host.must(["ip", "address", "delete", "127.0.1.10", "dev", "lo"]);
    await host.must(["sh", "-c", "rm -r /sys/fs/bpf/ilm/*"]);
    await host.must(["ip", "link", "add", "come0", "type", "veth", "peer", "name", "come1"]);
    await host.must(["ip", "link", "set", "come0", "up"]);
    await eventually("all is back", async () => {
      const { status, stdout } = await host.run(["ilm", "--json", "status"]);
      if (status !== 0) return null;
      const { warnings } = JSON.parse(stdout) as { warnings: { kind: string }[] };
      const lacks = ["address-missing", "interface-uncovered"];
      const addresses = await host.must(["ip", "address", "show", "dev", "lo"]);
      return addresses.includes("127.0.1.10/") && !warnings.some(({ kind }) => lacks.includes(kind))
        ? true
        : null;
    });
    await host.must(["ilm", "off"]);
    await expect(client.curl("203.0.113.5", 81)).rejects.toThrow(/refused|exit 7/);
    await host.must(["ilm", "on"]);
    await host.must(["ilm", "drain", "--force", "web"]);
    await host.must(["ilm", "undrain", "web"]);
    await host.must(["ilm", "add", "--confirm", "1m", "tcp:82=web:8000"]);
    await host.must(["ilm", "confirm"]);
    expect(await client.curl("203.0.113.5", 82)).toBe("from the host");
    expect(await host.must(["ilm", "history"])).toContain("add");
    await host.must(["ilm", "remove", "tcp:81", "tcp:82"]);
    await host.must(["ip", "link", "delete", "come0"]);
    await host.must(["rm", "/etc/systemd/system/ilm.service.d/rights.conf"]);
    await host.must(["systemctl", "daemon-reload"]);
    await host.must(restart);
    const log = await host.must(["journalctl", "-u", "ilm", "-o", "cat"]);
    expect(log).not.toMatch(/EPERM|not permitted/i);
  });

  test("it follows another file that it sees, and refuses one that its unit hides", async () => {
    const source = async (): Promise<string | undefined> =>
      /^source: +(.*)$/m.exec(await host.must(["ilm", "status"]))?.[1];
    await host.must(["cp", "/etc/ilm/ilm.yaml", "/tmp/own.yaml"]);
    const { status, stderr } = await host.run(["ilm", "apply", "-f", "/tmp/own.yaml"]);
    expect(stderr).toMatch(/sees no \/tmp\/own.yaml, .*\n.*PrivateTmp=yes.*\/etc\/ilm/);
    expect(status).toBe(1);
    expect(await source()).toBe("/etc/ilm/ilm.yaml");
    await host.must(["mv", "/tmp/own.yaml", "/etc/ilm/own.yaml"]);
    await host.must(["ilm", "apply", "-f", "/etc/ilm/own.yaml"]);
    expect(await source()).toBe("/etc/ilm/own.yaml");
    await host.must(["ilm", "apply", "-f", "/etc/ilm/ilm.yaml"]);
    await host.must(["rm", "/etc/ilm/own.yaml"]);
  });

  test("from its unit nothing can be mounted, or made writable again", async () => {
    const tries = (command: string): Record<string, string> => ({
      "ilm.service.d/tries.conf": `[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStartPre=sh -c '${command}'\n`,
    });
    for (const command of ["mount -o remount,rw,bind /usr", "mount -t tmpfs none /mnt"]) {
      await host.units(tries(`! ${command}`));
      await host.must(restart);
    }
    await host.must(["rm", "/etc/systemd/system/ilm.service.d/tries.conf"]);
    await host.must(["systemctl", "daemon-reload"]);
  });

  test("where no BPF file system is mounted, it is mounted for all", async () => {
    await host.must(["ilm", "unload"]);
    await host.must(["umount", "/sys/fs/bpf"]);
    await host.must(restart);
    expect(await host.must(["ilm", "status"])).toMatch(/mappings: +1,/);
    expect(await host.must(["stat", "--format=%a", "/sys/fs/bpf"])).toBe("1700\n");
    await host.must(["systemctl", "stop", "ilm"]);
    expect(await network.client.curl("203.0.113.5", 80)).toBe("from the host");
    await host.must(["systemctl", "start", "ilm"]);
  });

  test("the manual and the completions are where their programs look", async () => {
    expect(await host.must(["man", "--where", "ilm", "ilm-run"])).toContain("ilm.1.gz");
    expect(await host.must(["bash", "-n", "/usr/share/bash-completion/completions/ilm"])).toBe("");
  });

  test("systemd finds nothing wrong with its units, and little that they could do without", async () => {
    const units = ["/lib/systemd/system/ilm.service", "ilm@blue.service", "ilm@blue.path"];
    expect(await host.must(["systemd-analyze", "verify", "--man=no", ...units])).toBe("");
    for (const unit of ["ilm.service", "ilm@blue.service"]) {
      // Of 100: what is left is BPF's, and root's.
      await host.must(["systemd-analyze", "security", `--threshold=${EXPOSURE}`, unit]);
    }
  });

  test("a reload of a wrong file fails, says why, and changes nothing", async () => {
    host.write("/etc/ilm/ilm.yaml", rules.replace("80: 8000", "80: web"));
    expect((await host.run(["systemctl", "reload", "ilm"])).status).not.toBe(0);
    expect(await host.must(["ilm", "status"])).toContain("was refused in its current form");
    expect(await network.client.curl("203.0.113.5", 80)).toBe("from the host");
  });

  test("with a wrong file it starts with what was right last", async () => {
    await host.must(["ilm", "unload"]);
    await host.must(restart);
    expect(await network.client.curl("203.0.113.5", 80)).toBe("from the host");
    expect(await host.must(["journalctl", "-u", "ilm", "-o", "cat"])).toMatch(
      /the rules are those of \S+, when the configuration was right/,
    );
  });

  test("without that it tries again, and starts once the file is right", async () => {
    await host.must(["ilm", "unload"]);
    await host.must(["sh", "-c", "rm -r /var/lib/ilm/*"]);
    expect((await host.run(restart)).status).not.toBe(0);
    host.write("/etc/ilm/ilm.yaml", rules);
    await eventually("the service is active", async () =>
      (await host.run(["systemctl", "is-active", "ilm"])).status === 0 ? true : null,
    );
    expect(await network.client.curl("203.0.113.5", 80)).toBe("from the host");
  });

  test.each([
    ["killed", "KILL"],
    ["silent for too long", "STOP"],
  ])("when it is %s it is started again, and the rules stay", async (_, signal) => {
    await host.units({ "ilm.service.d/soon.conf": soon });
    await host.must(restart);
    const mainPid = ["systemctl", "show", "--property=MainPID", "--value", "ilm"];
    const before = await host.must(mainPid);
    const dials = new Dials();
    await host.must(["systemctl", "kill", "--kill-whom=main", `--signal=${signal}`, "ilm"]);
    await eventually("another process is active", async () => {
      const now = await host.must(mainPid);
      const { status } = await host.run(["systemctl", "is-active", "ilm"]);
      return status === 0 && now !== before && now !== "0\n" ? true : null;
    });
    expect(await dials.stop()).toEqual(new Set(["from the host"]));
    await host.must(["rm", "/etc/systemd/system/ilm.service.d/soon.conf"]);
    await host.must(["systemctl", "daemon-reload"]);
  });

  test("an instance follows the file of another network namespace", async () => {
    await host.must(["ip", "netns", "add", "blue"]);
    await host.must(["ip", "-n", "blue", "link", "set", "lo", "up"]);
    host.write("/etc/ilm/blue.yaml", rules.replace(", unit: web.service", ""));
    await host.must(["systemctl", "start", "ilm@blue"]);
    expect(await host.must(["ilm", "status", "--netns", "blue"])).toMatch(
      /source: +\/etc\/ilm\/blue.yaml\nmappings: +1,/,
    );
    host.write("/etc/ilm/blue.yaml", rules.replace("80: 8000", "80: 8000, 81: 8000"));
    await host.must(["systemctl", "reload", "ilm@blue"]);
    expect(await host.must(["ilm", "status", "--netns", "blue"])).toMatch(/mappings: +2,/);
    await host.must(["systemctl", "stop", "ilm@blue"]);
    await host.must(["ilm", "unload", "--netns", "blue"]);
    await host.must(["ip", "netns", "delete", "blue"]);
    await host.must(["rm", "/etc/ilm/blue.yaml"]);
  });

  test("removed, it takes out rules that cannot be read, of every network namespace", async () => {
    const web = rules.replace(", unit: web.service", "");
    host.write("/etc/ilm/blue.yaml", web);
    await host.must(["ip", "netns", "add", "blue"]);
    await host.must(["ip", "-n", "blue", "link", "set", "lo", "up"]);
    await host.must(["systemctl", "enable", "--now", "ilm@blue"]);
    const unnamed = "ip link set lo up && ilm apply -f /etc/ilm/blue.yaml && exec sleep infinity";
    const sleeping = host.start(["unshare", "--net", "sh", "-c", unnamed]);
    await eventually("each has rules", async () => {
      const pins = await host.must(["sh", "-c", "ls -d /sys/fs/bpf/ilm/*/generation-*/head"]);
      return pins.trim().split("\n").length === 3 ? true : null;
    });
    await host.must(["sh", "-c", "rm /sys/fs/bpf/ilm/*/generation-*/head"]);
    await host.must(["dpkg", "--remove", "ilm"]);
    expect(await host.run(["test", "-e", "/sys/fs/bpf/ilm"])).toMatchObject({ status: 1 });
    await expect(network.client.curl("203.0.113.5", 80)).rejects.toThrow(/refused|exit 7/);
    const addresses = ["ip", "-n", "blue", "-o", "address", "show", "dev", "lo"];
    expect(await host.must(addresses)).not.toContain("127.0.1.10");
    await sleeping.stop();
    await host.must(["ip", "netns", "delete", "blue"]);
  });

  test("it leaves its configuration, and purged nothing but what others wrote", async () => {
    expect(await host.must(["cat", "/etc/ilm/ilm.yaml"])).toBe(rules);
    await host.must(["dpkg", "--purge", "ilm"]);
    expect(await host.must(["ls", "/etc/ilm"])).toBe("blue.yaml\n");
    await host.must(["rm", "-r", "/etc/ilm"]);
    await host.must(["systemctl", "stop", "web"]);
    const left = (await filesOf(host)).filter((path) => !before.includes(path));
    expect(left.filter((path) => !/^\/(srv|etc\/systemd\/system\/web)/.test(path))).toEqual([]);
    // The first test finds it so.
    expect(await host.run(["pgrep", "-x", "ilm"])).toMatchObject({ status: 1 });
  });

  test("npm's package does the same with any Node, its own unit, and no script", async () => {
    const [, folderOfNode] = nodeFor(suite, fetchNodes()) ?? [];
    const node = folderOfNode === undefined ? process.execPath : join(folderOfNode, "node");
    await must(["cp", node, host.path("/usr/local/bin/node")]);
    await must(["cp", "-r", `${prefix}/.`, host.path("/usr/local")]);
    const library = "/usr/local/lib/node_modules/bpf-inet-lookup-manager";
    await host.must(["cp", `${library}/contrib/systemd/ilm.service`, "/etc/systemd/system"]);
    await host.must(["systemctl", "daemon-reload"]);
    host.write("/etc/ilm/ilm.yaml", rules);
    await host.must(["systemctl", "start", "web", "ilm"]);
    expect(await host.must(["ilm", "wait", "web"])).toContain("web");
    expect(await network.client.curl("203.0.113.5", 80)).toBe("from the host");
    // The next version over it, and its end.
    const dials = new Dials();
    await host.must(["rm", "-r", library]);
    await must(["cp", "-r", `${prefix}/.`, host.path("/usr/local")]);
    await host.must(restart);
    expect(await dials.stop()).toEqual(new Set(["from the host"]));
    await host.must(["systemctl", "stop", "ilm"]);
    await host.must(["ilm", "unload"]);
  });

  test("installed where others applied rules, it leaves them, and says what to do", async () => {
    await host.must(["rm", "/etc/ilm/ilm.yaml"]);
    await host.must(["ilm", "apply", "tcp:80=127.0.1.10:8000"]);
    const { stderr } = await host.run(["dpkg", "--install", carry(host, built.deb)]);
    expect(stderr).toMatch(/another ilm.service .*: \/etc\/systemd\/system\/ilm.service$/m);
    expect(stderr).toMatch(/was not started, because other rules .*\n.*systemctl start ilm$/m);
    expect((await host.run(["systemctl", "is-active", "ilm"])).stdout).toBe("inactive\n");
    expect(await network.client.curl("203.0.113.5", 80)).toBe("from the host");
  });

  test("purged after an upgrade that ended halfway, it ends the service and the rules", async () => {
    await host.must(["rm", "/etc/systemd/system/ilm.service"]);
    host.write("/etc/ilm/ilm.yaml", rules);
    await host.must(["systemctl", "daemon-reload"]);
    await host.must(["systemctl", "start", "ilm"]);
    await host.must(["dpkg", "--unpack", carry(host, built.deb)]);
    const { stderr } = await host.run(["dpkg", "--purge", "ilm"]);
    expect(stderr).toContain("rules are still active: taking them out without the program");
    expect((await host.run(["systemctl", "is-active", "ilm"])).stdout).toBe("inactive\n");
    await expect(network.client.curl("203.0.113.5", 80)).rejects.toThrow(/refused|exit 7/);
    // Where `ip` cannot tell whose an address is, it says that they stay.
    const addresses = await host.must(["ip", "-o", "address", "show", "dev", "lo"]);
    expect(addresses.includes("127.0.1.10")).toBe(stderr.includes("addresses of services stay"));
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
