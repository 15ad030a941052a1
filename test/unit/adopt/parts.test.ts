// Goal: the parts of adopting that only read or write text are right for all that they may meet.
import { describe, expect, test } from "vitest";
import { commandText, restartCommands, reverse } from "../../../src/adopt/commands.js";
import { linesFor } from "../../../src/adopt/daemons.js";
import { fileText, isUnchanged, knownServices } from "../../../src/adopt/file.js";
import { astrayPorts, missingPorts } from "../../../src/adopt/home.js";
import { unitOfCgroup } from "../../../src/adopt/look.js";
import type { AdoptedPort } from "../../../src/adopt/service.js";
import { socketUnitText } from "../../../src/adopt/socket-unit.js";
import { isSessionTitle, sparePort } from "../../../src/adopt/ssh.js";
import { readUnitStates } from "../../../src/adopt/systemd.js";
import { configurationText, type Move, type Stage } from "../../../src/adopt/text.js";
import { portStateIn } from "../../../src/kernel/tcp-state.js";
import { understand } from "../../../src/config/load.js";
import { address, listener } from "../cli/fixtures.js";

const web: AdoptedPort = { protocol: "tcp", port: 80, families: [4, 6] };
const dns: AdoptedPort = { protocol: "udp", port: 53, families: [4] };
const hold = { 4: address("127.64.9.9"), 6: address("fd00::9") };
const own = { 4: address("127.64.0.1"), 6: address("fd00::1") };

function move(way: Move["way"], stage: Stage): Move {
  const service = {
    name: "web",
    owner: { unit: "web@1.service" },
    ports: [web, dns],
    held: [
      {
        protocol: "tcp" as const,
        port: 8080,
        address: address("127.0.0.1"),
        families: [4 as const],
        mayChange: false,
      },
      {
        protocol: "tcp" as const,
        port: 8081,
        address: address("fe80::1"),
        families: [6 as const],
        mayChange: false,
      },
    ],
  };
  return { service, mptcpOff: true, way, stage, hold };
}

async function read(text: string) {
  const files = [{ name: "ilm.yaml", bytes: Buffer.from(text) }];
  const source = { files, names: ["ilm.yaml"], problems: [], again: true };
  const { ruleSet, warnings } = await understand(source, () => "0123456789abcdef0123456789abcdef");
  expect(warnings).toEqual([]);
  return ruleSet;
}

describe("the configuration", () => {
  const done = {
    name: "blog",
    owner: { user: "yes no" },
    publish: ["53/tcp", "53/udp"],
    mptcpOff: true,
  };

  test.each([
    ["adopt", "draining", ["rewrite", "never", "any", "never"]],
    ["adopt", "restarted", ["rewrite", "never", "any", "exact"]],
    ["undo", "draining", ["rewrite", "any", "any", "never"]],
    ["undo", "restarting", ["allow", "any", "any", "never"]],
    ["undo", "restarted", ["allow", "any", "any", "exact"]],
  ] as const)("on the way %s, %s, has the policy and the mappings", async (way, stage, wanted) => {
    const text = configurationText({ ula: null, services: [], move: move(way, stage) });
    const { services, mappings } = await read(text);
    const service = services.find(({ name }) => name === "web");
    const existing = Array.from(mappings, (one) => one.existing);
    // The link-local address has none: a mapping cannot name the interface beside it.
    expect([service?.wildcard, ...existing]).toEqual(wanted);
    const leads = Array.from(mappings, ({ to }) => to.map((one) => one.service ?? one.address));
    const [toHold, toWeb] = [
      [hold[4], hold[6]],
      ["web", "web"],
    ];
    expect(leads[0]).toEqual(way === "adopt" ? [...toWeb, ...toHold] : [...toHold, ...toWeb]);
    expect(leads.at(-1)).toEqual([hold[4]]);
    expect(knownServices({ services, mappings })).toMatchObject([
      { name: "web", unit: "web@1.service", publish: ["80", "53/udp"] },
    ]);
  });

  test("in the end is what a person would write", async () => {
    const text = configurationText({ ula: "fd00:1:2::/48", services: [done], move: null });
    expect(text).toBe(`version: 1
ula: "fd00:1:2::/48"
services:
  blog: { user: "yes no", address: auto, wildcard: rewrite, mptcp: off, publish: [53/tcp, 53/udp] }
`);
    const none = configurationText({ ula: null, services: [], move: null });
    expect((await read(none)).services).toEqual([]);
  });

  test("is known again as long as nobody changes it", () => {
    const text = fileText(configurationText({ ula: null, services: [done], move: null }));
    expect(isUnchanged(text)).toBe(true);
    for (const changed of [`${text}# mine\n`, text.replace("blog", "log"), text.slice(1), ""]) {
      expect(isUnchanged(changed)).toBe(false);
    }
  });
});

describe("where a daemon listens", () => {
  const homes = { addresses: [own[4], own[6]], old: new Set(["1"]) };
  const at = (text: string, changes = {}) => listener(text, 80, { cookie: "2", ...changes });

  test.each([
    ["two sockets of one family each", [at(own[4]), at(own[6])], 0],
    ["a dual-stack socket on the IPv4 address", [at(own[4], { family: 6 })], 0],
    ["IPv4 alone", [at(own[4])], 1],
    ["IPv6 alone", [at(own[6])], 1],
    ["one that is to go", [at(own[4], { family: 6, cookie: "1" })], 1],
    ["every address", [at("::")], 1],
  ])("%s", (_, listeners, missing) => {
    expect(missingPorts([web], listeners, homes)).toHaveLength(missing);
  });

  test("on every address, a dual-stack socket is enough", () => {
    const everywhere = { ...homes, addresses: null };
    expect(missingPorts([web], [at("::")], everywhere)).toEqual([]);
    expect(missingPorts([web], [at("::", { v6only: true })], everywhere)).toEqual([web]);
    expect(astrayPorts([web, dns], [at("::")], homes.old)).toEqual([web]);
    expect(astrayPorts([web], [at("::", { cookie: "1" })], homes.old)).toEqual([]);
  });
});

describe("systemd", () => {
  test("its blocks of properties are read", () => {
    const text = `Id=web.socket
ActiveState=active
MainPID=0
Triggers=web.service web2.service
Accept=yes

Id=web.service
ActiveState=failed
MainPID=17`;
    expect([...readUnitStates(text).values()]).toEqual([
      {
        unit: "web.socket",
        active: true,
        mainPid: 0,
        triggers: ["web.service", "web2.service"],
        accepts: true,
      },
      { unit: "web.service", active: false, mainPid: 17, triggers: [], accepts: false },
    ]);
    expect(readUnitStates("").size).toBe(0);
  });

  test.each([
    ["/system.slice/nginx.service", "nginx.service"],
    [
      "/system.slice/system-postgresql.slice/postgresql@15-main.service",
      "postgresql@15-main.service",
    ],
    ["/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "user@1000.service"],
    ["/system.slice/ssh.socket", "ssh.service"],
    ["/system.slice/_cpu.service", "cpu.service"],
    ["/init.scope", "init.scope"],
    ["/docker/4f", null],
    ["/", null],
  ])("the unit of %s is %s", (path, unit) => {
    expect(unitOfCgroup(path)).toBe(unit);
  });

  test("a command is shown as a shell takes it", () => {
    expect(commandText(["systemctl", "restart", "a\\x2db.service"])).toBe(
      "systemctl restart 'a\\x2db.service'",
    );
    expect(commandText(["sh", "-c", "one && two"])).toBe("one && two");
  });

  test("what gets a socket unit loses it on the way back, before it starts by itself", () => {
    const restart = { kind: "to-socket", unit: "web.service", socket: "web.socket" } as const;
    const back = restartCommands(reverse(restart)).map(commandText);
    expect(back.indexOf("rm -f /etc/systemd/system/web.socket")).toBeLessThan(
      back.indexOf("systemctl start web.service"),
    );
    expect(reverse(reverse(restart))).toEqual(restart);
  });

  test("a socket unit has the addresses of the families that were served", () => {
    const text = socketUnitText("web.service", [own[4], own[6]], [web, dns], true);
    expect(text.match(/^Listen.*|^FreeBind.*|^Accept.*|^ReusePort.*/gm)).toEqual([
      "ListenStream=127.64.0.1:80",
      "ListenStream=[fd00::1]:80",
      "ListenDatagram=127.64.0.1:53",
      "FreeBind=yes",
      "Accept=no",
      "ReusePort=yes",
    ]);
  });
});

describe("SSH", () => {
  test.each([
    ["sshd: root@pts/0", true],
    ["sshd: app@notty", true],
    ["sshd-session: app@pts/1", true],
    ["sshd: root [priv]", false],
    ["sshd: app@pts/0,pts/1", true],
    // Anybody may claim to have such a name.
    ["sshd: app@host [priv]", false],
    ["sshd: app@host [preauth]", false],
    ["sshd: [accepted]", false],
    ["sshd: unknown [net]", false],
    ["sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", false],
    ["/usr/sbin/sshd -D -p 2222", false],
  ])("%s is a login: %s", (title, is) => {
    expect(isSessionTitle(title)).toBe(is);
  });

  test("the second one has the first free port, or the one that is asked for", () => {
    const taken = [listener("::", 2222), listener("127.0.0.1", 2223)];
    expect(sparePort(taken, undefined)).toBe(2224);
    expect(sparePort(taken, 2300)).toBe(2300);
    expect(() => sparePort(taken, 2223)).toThrow("something listens on port 2223 already");
  });
});

test("accept queues, handshakes and open connections of a port are counted", () => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 1 1
   1: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:0050 0100007F:9C41 03 00000000:00000000 00:00000000 00000000     0        0 0 1
   3: 0100007F:9C40 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   4: 0100007F:0050 0100007F:9C42 06 00000000:00000000 00:00000000 00000000     0        0 0 1
`;
  expect(portStateIn(text, new Set([80]))).toEqual({ established: 1, waiting: 4 });
  expect(portStateIn(text, new Set([81]))).toEqual({ established: 0, waiting: 0 });
});

test("a daemon is known by its command or its unit, and its lines have addresses and ports", () => {
  const ports = [{ port: 80 }, { port: 443 }, { port: 80 }];
  expect(linesFor({ command: "nginx", unit: null }, own, ports)?.lines).toEqual([
    "listen 127.64.0.1:80;",
    "listen [fd00::1]:80;",
    "listen 127.64.0.1:443;",
    "listen [fd00::1]:443;",
  ]);
  const postgres = linesFor({ command: "other", unit: "postgresql@15-main.service" }, own, ports);
  expect(postgres?.lines).toEqual(["listen_addresses = '127.64.0.1, fd00::1'"]);
  expect(linesFor({ command: "own", unit: "own.service" }, own, ports)).toBeNull();
});
