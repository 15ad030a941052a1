/**
 * Runs inside a Debian that its systemd has booted (init-debian.sh starts it at each boot): our
 * package is installed there, serves, outlives a reboot, is upgraded under dials, and goes.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { release, version } from "node:os";
import type { DoctorJson } from "../../src/json/doctor.js";
import type { ExplainJson } from "../../src/json/explain.js";
import type { StatusJson } from "../../src/json/status.js";
import { Client } from "../../test/support/client.js";
import { filesOf } from "../../test/support/debian.js";
import { addressesOf, matrix } from "../../test/support/matrix.js";
import { script } from "../../test/support/paths.js";
import { must, run } from "../../test/support/process.js";
import { checkKernelLog } from "./guest-core.js";
import { capability as report, expectEqual, note } from "./report.js";

const packages = "/run/trial/packages";
/** What was there before the package; from then on this Debian is to reboot once. */
const BEFORE = "/var/lib/trial/before";
const AGAIN = "/var/lib/trial/again";
const RULES = "/etc/ilm/ilm.yaml";
/** The same as the daemon's: before Linux 6.6 answers over UDP are right only then. */
const PORT = 6000;
/** Another, for connections. */
const MOVED = 54;
/** Software emulation on a busy machine. */
const timeout_ms = 600_000;

const rules = (moved: number | string): string => `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"], unit: app.service }
mappings:
  - { protocol: [tcp, udp], port: ${PORT}, to: app }
  - { port: ${moved}, to: "app:${PORT}" }
`;

/** On its private addresses, which ilm puts on `lo`. */
const unit = `
[Unit]
After=network.target
[Service]
User=nobody
ExecStart=/usr/bin/python3 /srv/serve.py app ${PORT} 127.0.1.10 fd5e:ed00::10
[Install]
WantedBy=multi-user.target
`;

const capability = (name: string, prove: () => Promise<string | void>): Promise<void> =>
  report(`package: ${name}`, prove);

const sh = async (command: string): Promise<string> =>
  (await must(["sh", "-c", command], { timeout_ms })).trim();

/** What a command of the package says; `doctor` also fails at what it finds. */
async function ilm<Said>(...args: readonly string[]): Promise<Said> {
  const { stdout } = await run(["ilm", ...args, "--json"], { timeout_ms });
  return JSON.parse(stdout) as Said;
}

/** A client of its own network namespace, at the other end of a cable. */
async function makeClient(): Promise<Client> {
  const client = await Client.make();
  await sh(`ip link add up0 type veth peer name up0 netns ${client.name}`);
  for (const { public: own, client: its, label } of Object.values(addressesOf)) {
    const options = label === "IPv6" ? "/64 dev up0 nodad" : "/24 dev up0";
    await sh(`ip addr add ${own}${options} && ip -n ${client.name} addr add ${its}${options}`);
  }
  await sh(`ip link set up0 up && ip -n ${client.name} link set up0 up`);
  return client;
}

async function expectServed(client: Client): Promise<void> {
  // systemd does not know when the daemon listens.
  await sh("ilm wait app --timeout 10m");
  for (const { protocol, public: address, title } of matrix) {
    expectEqual(title, await client.who(protocol, address, PORT), "app");
  }
  for (const { public: address, label } of Object.values(addressesOf)) {
    expectEqual(`moved, ${label}`, await client.who("tcp", address, MOVED), "app");
  }
}

async function expectActive(): Promise<void> {
  expectEqual("is-active", await sh("systemctl is-active ilm"), "active");
  expectEqual("is-enabled", await sh("systemctl is-enabled ilm"), "enabled");
}

async function install(name: string): Promise<string> {
  const begun = performance.now();
  await sh(`DEBIAN_FRONTEND=noninteractive apt-get -qq -y install ${packages}/${name}.deb`);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  await expectActive();
  return `${await sh("dpkg-query -W -f '${Version}, ${Installed-Size} KiB' ilm")}, in ${seconds} s`;
}

/** Seconds from the command of systemd to what the service says when it is ready. */
async function startSeconds(): Promise<string> {
  const names = ["InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic"];
  const [begun = 0, ended = 0] = (
    await sh(`systemctl show --value ${names.map((name) => `-p ${name}`).join(" ")} ilm`)
  )
    .split("\n")
    .map(Number);
  return `started in ${(Math.abs(ended - begun) / 1e6).toFixed(1)} s`;
}

async function firstBoot(client: Client): Promise<void> {
  mkdirSync("/var/lib/trial", { recursive: true });
  writeFileSync("/srv/serve.py", readFileSync(script("serve.py")));
  writeFileSync("/etc/systemd/system/app.service", unit);
  await sh("systemctl daemon-reload && systemctl enable app");
  writeFileSync(BEFORE, (await filesOf({ must })).join("\n"));

  await capability("apt installs it, and its service is active", async () => {
    const installed = await install("ilm");
    expectEqual("mappings", (await ilm<StatusJson>("status")).mappings, 0);
    return `${installed}; ${await startSeconds()}`;
  });
  await capability("a reload follows the file", async () => {
    writeFileSync(RULES, rules(MOVED));
    await sh("systemctl reload ilm && systemctl start app");
    await expectServed(client);
  });
  for (const { protocol, public: address, title } of matrix) {
    await capability(`${title} to a daemon on a private address`, async () => {
      expectEqual("dialled", await client.who(protocol, address, PORT), "app");
    });
  }
  await capability("status, doctor and explain say what is so", async () => {
    const { loaded, mappings, warnings } = await ilm<StatusJson>("status");
    expectEqual("status", [loaded, mappings, warnings], [true, 3, []]);
    const { checks } = await ilm<DoctorJson>("doctor");
    const errors = checks.filter(({ severity }) => severity === "error");
    expectEqual("errors", errors, []);
    const pid = Number(await sh("systemctl show --value -p MainPID app"));
    for (const { protocol, public: address, family } of matrix) {
      const dialled = family === 6 ? `[${address}]:${PORT}` : `${address}:${PORT}`;
      const { verdict, listener } = await ilm<ExplainJson>("explain", protocol, dialled);
      expectEqual(dialled, [verdict, listener?.pid], ["selected", pid]);
    }
  });
  await capability("a reload of a wrong file fails, and changes nothing", async () => {
    writeFileSync(RULES, rules("web"));
    const { status } = await run(["systemctl", "reload", "ilm"], { timeout_ms });
    expectEqual("reload failed", status !== 0, true);
    await expectServed(client);
    writeFileSync(RULES, rules(MOVED));
    await sh("systemctl reload ilm");
  });
}

async function secondBoot(client: Client): Promise<void> {
  await capability("after a reboot it serves as before", async () => {
    await expectActive();
    await expectServed(client);
    return await startSeconds();
  });
  await capability("an upgrade under dials fails none", async () => {
    // Paused: what is tested is the upgrade, not who gets the emulated processors.
    const loads = await Promise.all(
      matrix.map(({ protocol, public: address }) => client.load(protocol, address, PORT, 100, 120)),
    );
    const upgraded = await install("newer");
    await expectServed(client);
    const summaries = await Promise.all(loads.map((load) => load.stop()));
    for (const { answered, failed } of summaries) {
      expectEqual("failed", failed, {});
      expectEqual("answered by", Object.keys(answered), ["app"]);
    }
    const dials = summaries.reduce((sum, { answered }) => sum + (answered["app"] ?? 0), 0);
    return `${upgraded}; ${dials} dials`;
  });
  await capability("removed, it leaves its configuration, and purged nothing", async () => {
    await sh("apt-get -qq -y remove ilm");
    expectEqual("pins", existsSync("/sys/fs/bpf/ilm"), false);
    for (const { protocol, public: address, title } of matrix) {
      expectEqual(title, await client.who(protocol, address, PORT), "ECONNREFUSED");
    }
    expectEqual("configuration", readFileSync(RULES, "utf8"), rules(MOVED));
    await sh("apt-get -qq -y purge ilm && systemctl stop app");
    const before = new Set(readFileSync(BEFORE, "utf8").split("\n"));
    expectEqual(
      "left",
      (await filesOf({ must })).filter(
        (path) => !before.has(path) && path !== BEFORE && path !== AGAIN,
      ),
      [],
    );
    expectEqual("processes", (await run(["pgrep", "-x", "ilm"])).stdout, "");
    expectEqual("addresses", await sh("ip -6 addr show to fd5e:ed00::/32"), "");
  });
}

/** Without what systemd has not started yet. */
async function trial(): Promise<"reboot" | "poweroff"> {
  await run(["systemctl", "is-system-running", "--wait"], { timeout_ms });
  if (existsSync(AGAIN)) {
    await secondBoot(await makeClient());
    await checkKernelLog("package: the kernel's log is clean");
    note("end", "");
    return "poweroff";
  }
  if (existsSync(BEFORE)) throw new Error("the guest rebooted by itself");
  note("kernel", `${release()} ${version()}`);
  note("parts", "package");
  await firstBoot(await makeClient());
  writeFileSync(AGAIN, "");
  return "reboot";
}

const next = await trial().catch((error: unknown) => {
  console.log(error);
  return "poweroff" as const;
});
execFileSync("systemctl", [next]);
