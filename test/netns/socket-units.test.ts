/**
 * Socket units of a real systemd as destinations: what docs/socket-units.md says, with the files
 * that it shows.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BootedHost, unitFolder, useBootedHost } from "../support/booted-host.js";
import { refused } from "../support/dialler.js";
import { addressesOf, endpoint, families, type Protocol, protocols } from "../support/matrix.js";
import { makeNetwork, useNetwork } from "../support/network.js";
import { documents, python } from "../support/paths.js";
import { eventually, words } from "../support/process.js";
import type { ListenerRow } from "../support/shapes.js";

const network = useNetwork();
const host = useBootedHost(network);

const page = readFileSync(join(documents, "socket-units.md"), "utf8");
/** The files that the page shows, each with its path in the first line. */
const files = new Map(
  [...page.matchAll(/^```\w+\n# (\/\S+)\n([^]*?)^```$/gm)].map(
    ([, path = "", text = ""]) => [path, text] as const,
  ),
);
const configurationPath = "/etc/ilm.yaml";
const shown = Object.fromEntries(
  [...files].flatMap(([path, text]) =>
    path.startsWith(`${unitFolder}/`) ? [[path.slice(unitFolder.length + 1), text]] : [],
  ),
);

/** Beside those of the page. */
const rules = `${files.get(configurationPath) ?? ""}
  crash: { address: [127.0.1.30, "fd5e:ed00::30"], unit: crash.service, publish: [7000] }
  named: { address: [127.0.1.31, "fd5e:ed00::31"], unit: named.service, publish: [7001] }
  inetd: { address: [127.0.1.32, "fd5e:ed00::32"], unit: inetd.service, publish: [7002] }
  many: { address: [127.0.1.33, "fd5e:ed00::33"], user: root, publish: [7003] }
  mixed: { address: [127.0.1.34, "fd5e:ed00::34"], unit: mixed.service, wildcard: rewrite, publish: [7004] }
  six: { address: [127.0.1.35, "fd5e:ed00::35"], unit: six.service, wildcard: rewrite, publish: [7005, 7005/udp] }
  both: { address: [127.0.1.36, "fd5e:ed00::36"], unit: both.service, wildcard: rewrite, publish: [7006] }
  mptcp: { address: [127.0.1.37, "fd5e:ed00::37"], unit: mptcp.service, wildcard: rewrite, publish: [7007] }
  talk: { address: [127.0.1.39, "fd5e:ed00::39"], unit: talk.service, wildcard: rewrite, publish: { 82/udp: 7010 } }
  four: { address: [127.0.1.40, "fd5e:ed00::40"], unit: four.service, wildcard: rewrite, publish: [7011] }
  alone: { address: [127.0.1.38, "fd5e:ed00::38"], unit: alone.service, publish: [7008] }
mappings:
  - { name: every-address, protocol: [tcp, udp], port: 7100, to: "*:7101" }
`;

/** A daemon that answers on the socket that it is passed, and on another that it binds itself. */
const mixed = `
import json, selectors, socket
selector = selectors.DefaultSelector()
beside = socket.create_server(("::", 7004), family=socket.AF_INET6, reuse_port=True, dualstack_ipv6=True)
for tag, sock in ("passed", socket.socket(fileno=3)), ("bound", beside):
    selector.register(sock, selectors.EVENT_READ, json.dumps({"tag": tag}).encode())
while True:
    for key, _ in selector.select():
        with key.fileobj.accept()[0] as connection:
            connection.sendall(key.data)
`;

const service = "[Service]\nExecStart=/usr/bin/python3 /usr/local/lib/answer.py 600\n";

async function systemctl(command: string): Promise<string> {
  return (await host().must(["systemctl", ...words(command)])).trim();
}

/** Also where systemd refuses. */
async function trySystemctl(command: string): Promise<string> {
  const { stdout, stderr } = await host().run(["systemctl", ...words(command)]);
  return stdout + stderr;
}

async function stateOf(unit: string): Promise<string> {
  return await systemctl(`show --value --property ActiveState ${unit}`);
}

async function untilState(unit: string, state: string): Promise<void> {
  await eventually(`${unit} is ${state}`, async () =>
    (await stateOf(unit)) === state ? true : null,
  );
}

/** Waits for a message of systemd's. The journal may not know the unit of a process that ended. */
async function untilLogged(message: RegExp): Promise<void> {
  await eventually(`${message.source} is in the journal`, async () =>
    message.test(await host().must(words("journalctl --boot --output cat"))) ? true : null,
  );
}

/** Writes the units and starts those of sockets. */
async function startSockets(units: Readonly<Record<string, string>>): Promise<void> {
  await host().units(units);
  const sockets = Object.keys(units).filter((name) => /[^@]\.socket$/.test(name));
  await systemctl(`start ${sockets.join(" ")}`);
}

async function listenersAt(port: number): Promise<readonly ListenerRow[]> {
  const listeners = (await host().ilm(["listeners", "--json"])).json() as readonly ListenerRow[];
  return listeners.filter((listener) => listener.port === port);
}

/** What a command says that may find something. */
async function saysOf(...args: readonly string[]): Promise<string> {
  return (await host().ilm(args)).text;
}

/** Ends what tests have started, and leaves the units of the page alone. */
async function startAfresh(): Promise<void> {
  const listed = words("list-units --plain --no-legend --full --type socket,service");
  const units = (await host().must(["systemctl", ...listed]))
    .split("\n")
    .map((line) => line.split(" ")[0] ?? "")
    .filter((unit) => unit !== "" && !/^(systemd-|dbus\.|modprobe@)/.test(unit));
  if (units.length > 0) await host().must(["systemctl", "stop", ...units]);
  await host().must(["rm", "-rf", unitFolder]);
  await host().units(shown);
  await systemctl("reset-failed");
}

beforeAll(async () => {
  for (const [path, text] of files) host().write(path, text);
  host().write(configurationPath, rules);
  await host().units(shown);
  await host().ilmDone(["apply", "-f", configurationPath]);
});

afterEach(async () => {
  await network.client.stopStarted();
  await startAfresh();
});

test("the page shows a configuration, a program and units", () => {
  expect([...files.keys()].filter((path) => path.endsWith(".socket")).length).toBe(4);
  expect(files.has(configurationPath)).toBe(true);
  expect(files.has("/usr/local/lib/answer.py")).toBe(true);
});

interface Example {
  readonly name: string;
  readonly protocol: Protocol;
  /** What is dialled, and the port of the sockets. */
  readonly port: number;
  readonly own: number;
  readonly what: string;
  /** Those that the page does not show. */
  readonly units?: Readonly<Record<string, string>>;
}

const examples: readonly Example[] = [
  { name: "web", protocol: "tcp", port: 80, own: 80, what: "on its own address" },
  { name: "clock", protocol: "udp", port: 3700, own: 3700, what: "on its own address" },
  { name: "shop", protocol: "tcp", port: 81, own: 80, what: "on every address, rewritten" },
  {
    name: "talk",
    protocol: "udp",
    port: 82,
    own: 7010,
    what: "on every address, rewritten",
    units: { "talk.socket": "[Socket]\nListenDatagram=7010\n", "talk.service": service },
  },
];

for (const { name, protocol, port, own, what, units: more } of examples) {
  describe(`${protocol.toUpperCase()}, ${what}`, () => {
    const units = [`${name}.socket`, `${name}.service`] as const;

    beforeEach(async () => {
      if (more !== undefined) await host().units(more);
    });

    for (const family of families) {
      const { public: dialled, label } = addressesOf[family];

      test(`the first to dial starts the service, and is served by it, over ${label}`, async () => {
        const { client } = network;
        await systemctl(`start ${units[0]}`);
        expect(await stateOf(units[1])).toBe("inactive");
        const waiting = (await listenersAt(own)).filter(({ unit }) => unit === units[0]);
        expect(waiting.length).toBe(what.includes("rewritten") ? 1 : 2);
        for (const row of waiting) expect(row).toMatchObject({ pid: 1, command: "systemd" });
        const explained = await saysOf("explain", protocol, endpoint(dialled, port));
        expect(explained).toMatch(`systemd (pid 1) for ${units[0]}`);

        const first = await client.dial(protocol, dialled, port);
        expect(first).toMatchObject({ answered: true, repliedFrom: { address: dialled, port } });
        const pid = Number(await systemctl(`show --value --property MainPID ${units[1]}`));
        expect(await client.who(protocol, dialled, port)).toBe(`process ${pid}`);
        expect(first).toMatchObject({ tag: `process ${pid}` });
        const serving = (await listenersAt(own)).filter(({ unit }) => unit === units[0]);
        expect(serving.map((row) => row.pid)).toEqual(waiting.map(() => pid));
      });
    }

    test("it ends when it is idle and starts with the next dial, and no dial fails", async () => {
      await host().units({
        [`${units[1]}.d/hasty.conf`]:
          "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart=/usr/bin/python3 /usr/local/lib/answer.py 0.02\n",
        [`${units[0]}.d/hasty.conf`]: "[Socket]\nTriggerLimitIntervalSec=0\n",
      });
      await systemctl(`start ${units[0]}`);
      const load = await network.client.load(protocol, addressesOf[4].public, port, 60);
      const starts = new Set<string>();
      await eventually("it was started five times", async () => {
        starts.add(await systemctl(`show --value --property InvocationID ${units[1]}`));
        return starts.size > 5 ? true : null;
      });
      const { answered, failed } = await load.stop();
      expect(failed).toEqual({});
      expect(Object.keys(answered).length).toBeGreaterThan(3);
      await untilState(units[1], "inactive");
      expect(await network.client.who(protocol, addressesOf[6].public, port)).toMatch(/^process/);
    });

    test("restarts of the service, daemon-reload and daemon-reexec fail no dial", async () => {
      await systemctl(`start ${units[0]}`);
      const load = await network.client.load(protocol, addressesOf[6].public, port);
      for (const command of [`restart ${units[1]}`, "daemon-reload", "daemon-reexec"]) {
        await systemctl(command);
        expect(await network.client.who(protocol, addressesOf[4].public, port)).toMatch(/^proc/);
      }
      await systemctl(`stop ${units[1]}`);
      expect(await network.client.who(protocol, addressesOf[4].public, port)).toMatch(/^process/);
      const { answered, failed } = await load.stop();
      expect(failed).toEqual({});
      expect(Object.keys(answered).length).toBeGreaterThan(1);
    });
  });
}

/** HTTP from outside. */
async function page8080(dialled: string): Promise<string> {
  return await network.client.curl(dialled, 8080);
}

test("a proxy starts a daemon that takes no sockets, and both end when nobody is connected", async () => {
  await host().units({
    "page.service.d/hasty.conf":
      "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-socket-proxyd --exit-idle-time=1s 127.0.1.14:80\n",
  });
  await systemctl("start page.socket");
  for (const family of families) {
    expect(await stateOf("nginx.service")).toBe("inactive");
    expect(await page8080(addressesOf[family].public)).toContain("nginx");
    await untilState("page.service", "inactive");
    await untilState("nginx.service", "inactive");
  }
  // Nothing but the proxy leads to it.
  expect(await network.client.dial("tcp", addressesOf[4].public, 80)).toMatchObject(refused);
});

test("Debian's ssh.socket starts sshd on the service's address, dialled on another port", async () => {
  await host().must(["ssh-keygen", "-A"]);
  await systemctl("start ssh.socket");
  expect(await stateOf("ssh.service")).toBe("inactive");
  const reads =
    "import socket, sys; print(socket.create_connection((sys.argv[1], 2222), 30).recv(200).decode())";
  for (const family of families) {
    const greeting = await network.client.must([python, "-c", reads, addressesOf[family].public]);
    expect(greeting).toContain("OpenSSH");
  }
  expect(await stateOf("ssh.service")).toBe("active");
  const rows = await listenersAt(22);
  expect(rows).toMatchObject([{ address: "127.0.1.22", command: "sshd", unit: "ssh.socket" }]);
});

test("RuntimeMaxSec= ends a service, and the next dial starts it again", async () => {
  await host().units({ "web.service.d/old.conf": "[Service]\nRuntimeMaxSec=1\n" });
  await systemctl("start web.socket");
  const dial = async (): Promise<string> =>
    await network.client.who("tcp", addressesOf[4].public, 80);
  const first = await dial();
  expect(first).toMatch(/^process/);
  await untilState("web.service", "failed");
  const second = await dial();
  expect(second).toMatch(/^process/);
  expect(second).not.toBe(first);
});

describe("whose its sockets are", () => {
  test("a socket unit with another name than the service's is a stranger, and audit says so", async () => {
    await host().units({
      "other.socket": "[Socket]\nListenStream=127.0.1.31:7001\nService=named.service\n",
      "named.service": service,
    });
    await trySystemctl("start other.socket");
    expect(await stateOf("other.socket")).toBe("failed");
    await untilLogged(/other\.socket: .*Permission denied/);
    const audit = await saysOf("audit", "--kind", "refused");
    expect(audit).toContain("systemd, for a socket unit (");
    expect(audit).toContain("belongs to service named (unit named.service)");
    expect(audit).toContain("name it as the service's `unit`");
  });

  test("one that was there before the service had an owner gets nothing any more, and explain says so", async () => {
    const { public: dialled } = addressesOf[4];
    host().write("/etc/before.yaml", rules.replace("unit: named.service, ", ""));
    await host().ilmDone(["apply", "-f", "/etc/before.yaml"]);
    await startSockets({
      "other.socket": "[Socket]\nListenStream=127.0.1.31:7001\nService=named.service\n",
      "named.service": service,
    });
    expect(await network.client.who("tcp", dialled, 7001)).toMatch(/^process/);
    await host().ilmDone(["apply", "-f", configurationPath]);
    expect(await network.client.who("tcp", dialled, 7001)).toBe("ECONNREFUSED");
    const explained = await saysOf("explain", "tcp", endpoint(dialled, 7001));
    expect(explained).toContain(
      ", from other.socket) on 127.0.1.31:7001 listens, but gets nothing",
    );
    expect(explained).toContain("the address belongs to service named (unit named.service)");
    expect(await saysOf("audit", "--kind", "foreign-address")).toContain("unit other.socket");
  });

  test("Accept=yes needs no service of the name: systemd holds the listener, and starts one each", async () => {
    await startSockets({
      "inetd.socket":
        "[Socket]\nListenStream=127.0.1.32:7002\nListenStream=[fd5e:ed00::32]:7002\nAccept=yes\n",
      "inetd@.service": `[Service]\nStandardInput=socket\nStandardOutput=socket\nExecStart=echo '{"tag": "%i"}'\n`,
    });
    const tags = new Set<string>();
    for (const family of families) {
      for (let i = 0; i < 2; i++) {
        tags.add(await network.client.who("tcp", addressesOf[family].public, 7002));
      }
    }
    expect(tags.size).toBe(4);
    for (const tag of tags) expect(tag).toMatch(/^[0-3]-/);
    for (const row of await listenersAt(7002)) {
      expect(row).toMatchObject({ pid: 1, unit: "inetd.socket" });
    }
  });
});

test("where systemd cannot filter by cgroup, its sockets are in init.scope: user knows them, unit does not", async () => {
  const other = await makeNetwork();
  try {
    const confined = await BootedHost.boot(other.server, { withoutBpf: true });
    await confined.units({
      "web.socket": "[Socket]\nListenStream=127.0.1.10:7000\nListenStream=127.0.1.11:7001\n",
      "web.service": service,
    });
    confined.write("/usr/local/lib/answer.py", files.get("/usr/local/lib/answer.py") ?? "");
    await confined.must(words("systemctl start web.socket"));
    confined.write(
      configurationPath,
      `version: 1
services:
  by-unit: { address: 127.0.1.10, unit: web.service, publish: [7000] }
  by-user: { address: 127.0.1.11, user: daemon, publish: [7001] }
`,
    );
    await confined.ilmDone(["apply", "-f", configurationPath]);
    const rows = (await confined.ilm(["listeners", "--json"])).json() as readonly ListenerRow[];
    expect(rows.map(({ unit }) => unit)).toEqual(["init.scope", "init.scope"]);
    const { public: dialled } = addressesOf[4];
    expect(await other.client.who("tcp", dialled, 7000)).toBe("ECONNREFUSED");
    expect(await other.client.who("tcp", dialled, 7001)).toMatch(/^process/);
    await confined.stop();
  } finally {
    await other.destroy();
  }
});

describe("ReusePort=yes", () => {
  async function tagsOf(port: number, count: number): Promise<ReadonlySet<string>> {
    const tags = new Set<string>();
    await eventually(`${count} answer`, async () => {
      const { public: dialled } = addressesOf[tags.size % 2 === 0 ? 4 : 6];
      tags.add(await network.client.who("tcp", dialled, port));
      return tags.size >= count ? true : null;
    });
    return tags;
  }

  test("several socket units share a service's address, and each starts its own", async () => {
    const socket =
      "[Socket]\nReusePort=yes\nListenStream=127.0.1.33:7003\nListenStream=[fd5e:ed00::33]:7003\n";
    await startSockets({
      "many@.service": service,
      "many@1.socket": socket,
      "many@2.socket": socket,
    });
    for (const tag of await tagsOf(7003, 2)) expect(tag).toMatch(/^process/);
    expect(await stateOf("many@1.service")).toBe("active");
    expect(await stateOf("many@2.service")).toBe("active");
    const units = (await listenersAt(7003)).map(({ unit }) => unit);
    expect(new Set(units)).toEqual(new Set(["many@1.socket", "many@2.socket"]));
  });

  test("a socket unit and a daemon that binds itself share a rewritten wildcard", async () => {
    await startSockets({
      "mixed.socket": "[Socket]\nReusePort=yes\nListenStream=7004\n",
      "mixed.service": `[Service]\nExecStart=/usr/bin/python3 /usr/local/lib/mixed.py\n`,
    });
    host().write("/usr/local/lib/mixed.py", mixed);
    const tags = await tagsOf(7004, 2);
    expect(tags).toEqual(new Set(["bound", "passed"]));
    const rows = await listenersAt(7004);
    expect(new Set(rows.map(({ unit }) => unit))).toEqual(
      new Set(["mixed.service", "mixed.socket"]),
    );
    for (const row of rows) expect(row).toMatchObject({ address: "127.0.1.34", groupSize: 2 });
  });
});

test("BindIPv6Only=ipv6-only, rewritten: the service's IPv6 address, and no IPv4", async () => {
  await startSockets({
    "six.socket": "[Socket]\nListenStream=7005\nListenDatagram=7005\nBindIPv6Only=ipv6-only\n",
    "six.service": service,
  });
  for (const protocol of protocols) {
    const { client } = network;
    expect(await client.dial(protocol, addressesOf[4].public, 7005)).toMatchObject(refused);
    expect(await client.who(protocol, addressesOf[6].public, 7005)).toMatch(/^process/);
  }
  for (const row of await listenersAt(7005)) {
    expect(row).toMatchObject({ address: "fd5e:ed00::35", v6only: true, unit: "six.socket" });
  }
  const unserved = await saysOf("audit", "--kind", "mapping-unserved");
  expect(unserved).not.toContain("7005");
});

test("on 0.0.0.0, rewritten: the service's IPv4 address, and no IPv6", async () => {
  await startSockets({
    "four.socket": "[Socket]\nListenStream=0.0.0.0:7011\n",
    "four.service": service,
  });
  const { client } = network;
  expect(await client.who("tcp", addressesOf[4].public, 7011)).toMatch(/^process/);
  expect(await client.dial("tcp", addressesOf[6].public, 7011)).toMatchObject(refused);
  expect(await listenersAt(7011)).toMatchObject([
    { address: "127.0.1.40", family: 4, unit: "four.socket" },
  ]);
});

test("on every address without a rewrite, it is the destination of a mapping to *", async () => {
  await startSockets({
    "every.socket": "[Socket]\nListenStream=7101\nListenDatagram=7101\n",
    "every.service": service,
  });
  for (const family of families) {
    for (const protocol of protocols) {
      const who = await network.client.who(protocol, addressesOf[family].public, 7100);
      expect(who).toMatch(/^process/);
    }
  }
  const audit = await saysOf("audit", "--kind", "wildcard");
  expect(audit).toContain("unit every.socket");
});

test("an MPTCP listener, where systemd knows SocketProtocol=mptcp, and else a TCP listener", async () => {
  await startSockets({
    "mptcp.socket": "[Socket]\nListenStream=7007\nSocketProtocol=mptcp\n",
    "mptcp.service": service,
  });
  const version = Number(/^systemd (\d+)/.exec(await systemctl("--version"))?.[1]);
  const kind = version >= 257 ? "mptcp" : "tcp";
  expect(await listenersAt(7007)).toMatchObject([{ kind, unit: "mptcp.socket" }]);
  for (const family of families) {
    const dial = await network.client.dial("tcp", addressesOf[family].public, 7007, {
      mptcp: true,
    });
    expect(dial).toMatchObject({ answered: true, mptcp: kind === "mptcp" });
  }
});

describe("what is to be avoided", () => {
  test("without FreeBind= the IPv6 address has to be there", async () => {
    await host().units({
      "early.socket": "[Socket]\nListenStream=[fd5e:ed00::99]:7009\n",
      "early.service": service,
    });
    await trySystemctl("start early.socket");
    expect(await stateOf("early.socket")).toBe("failed");
    await startSockets({
      "early.socket": "[Socket]\nListenStream=[fd5e:ed00::99]:7009\nFreeBind=yes\n",
    });
    expect(await stateOf("early.socket")).toBe("active");
  });

  test("the wildcard address and the service's own in one socket unit are the same address", async () => {
    await host().units({
      "both.socket": "[Socket]\nListenStream=7006\nListenStream=127.0.1.36:7006\n",
      "both.service": service,
    });
    await trySystemctl("start both.socket");
    expect(await stateOf("both.socket")).toBe("failed");
    await untilLogged(/both\.socket: .*Address already in use/);
  });

  test("a socket unit that is restarted leaves its running service alone without Requires=", async () => {
    await startSockets({
      "alone.socket": "[Socket]\nListenStream=127.0.1.38:7008\n",
      "alone.service": service,
    });
    const dial = async (): Promise<string> =>
      await network.client.who("tcp", addressesOf[4].public, 7008);
    const before = await dial();
    expect(before).toMatch(/^process/);
    await trySystemctl("restart alone.socket");
    expect(await stateOf("alone.socket")).toBe("inactive");
    expect(await dial()).toBe(before);
    expect((await listenersAt(7008))[0]).toMatchObject({ unit: "alone.service" });
    await systemctl("stop alone.service");
    expect(await dial()).toBe("ECONNREFUSED");
  });

  test("with Requires=, both are restarted", async () => {
    await systemctl("start web.socket");
    const dial = async (): Promise<string> =>
      await network.client.who("tcp", addressesOf[6].public, 80);
    const before = await dial();
    await systemctl("restart web.socket");
    expect(await stateOf("web.socket")).toBe("active");
    const after = await dial();
    expect(after).toMatch(/^process/);
    expect(after).not.toBe(before);
  });
});

describe("a service that fails each time", () => {
  const dial = async (): Promise<string> =>
    await network.client.who("tcp", addressesOf[4].public, 7000);

  test("its socket unit fails: dials are refused, and audit names the unit", async () => {
    await startSockets({
      "crash.socket": "[Socket]\nListenStream=127.0.1.30:7000\n",
      "crash.service": "[Service]\nExecStart=/bin/false\n",
    });
    // It waits in the queue of a socket that systemd then closes.
    expect(await dial()).toBe("ECONNRESET");
    await untilState("crash.socket", "failed");
    expect(await systemctl("show --value --property Result crash.socket")).toBe(
      "service-start-limit-hit",
    );
    expect(await dial()).toBe("ECONNREFUSED");
    expect(await saysOf("explain", "tcp", "203.0.113.1:7000")).toContain(
      "(crash): nothing listens",
    );
    for (const silent of ["status", "doctor"]) {
      expect(await saysOf(silent)).not.toMatch(/crash|127\.0\.1\.30|7000/);
    }
    const audit = await saysOf("audit", "--kind", "service-unserved");
    expect(audit).toMatch(/service crash\n.*nobody serves it/);
    expect(audit).toContain("Start its daemon (unit crash.service), or crash.socket if it has one");

    await host().units({ "crash.service": service });
    await systemctl("reset-failed crash.service crash.socket");
    await systemctl("start crash.socket");
    expect(await dial()).toMatch(/^process/);
  });

  test("one that is started too often, too", async () => {
    await startSockets({
      "crash.socket":
        "[Socket]\nListenStream=127.0.1.30:7000\nTriggerLimitBurst=2\nTriggerLimitIntervalSec=1h\n",
      "crash.service": `[Unit]\nStartLimitIntervalSec=0\n${service.replace("600", "0")}`,
    });
    const tags: string[] = [];
    await eventually("a dial is refused", async () => {
      tags.push(await dial());
      return tags.at(-1) === "ECONNREFUSED" ? true : null;
    });
    expect(await systemctl("show --value --property Result crash.socket")).toBe(
      "trigger-limit-hit",
    );
  });
});
