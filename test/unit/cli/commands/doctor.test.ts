// Goal: `doctor` shows each check with its remedy, and its status says whether ilm can work here.
import { beforeEach, describe, expect, test } from "vitest";
import { doctor } from "../../../../src/cli/commands/doctor.js";
import type { Chain } from "../../../../src/config/nft/rules.js";
import type { DoctorJson } from "../../../../src/json/doctor.js";
import type { Prefix } from "../../../../src/model/address.js";
import type { RuleSet } from "../../../../src/model/rules.js";
import { ExitStatus, IlmError, type ErrorCode } from "../../../../src/errors.js";
import { listener } from "../fixtures.js";
import { address, mapping, ruleSet, activeRules } from "../../daemon/fixtures.js";
import { World } from "./world.js";

let world: World;

const kernel = {
  name: "kernel",
  severity: "ok",
  ok: true,
  found: "Linux 6.12",
  remedy: "",
} as const;
const dns = mapping("dns", { protocol: "udp", ports: [{ first: 53, last: 53 }] });
const running = {
  pid: 7,
  version: "1.2.3",
  startedAt: "2026-01-02T03:04:05.000Z",
  following: null,
  followed: [],
  lastReload: null,
  reloads: { done: 1, failed: 0 },
};

beforeEach(() => {
  world = new World();
  world.checks = [kernel];
});

/** `mptcp: off`, so that nothing depends on what the host says of MPTCP. */
function load(file: Partial<RuleSet>): void {
  world.dataPlane.apply(activeRules({ ...ruleSet(), mptcp: "off", ...file }));
}

type Check = DoctorJson["checks"][number];

async function checksNamed(name: string): Promise<Check[]> {
  const { checks } = (await world.json("doctor", doctor)) as DoctorJson;
  return checks.filter((check) => check.name === name);
}

/** As `doctor` shows it: one line, and the remedy below what is not well. */
async function textOf(name: string): Promise<string> {
  const text = await world.text(doctor);
  const start = text.search(new RegExp(`^.*${name}: `, "m"));
  return /^.*\n(?: {9}.*\n)*/.exec(text.slice(start))?.[0] ?? "";
}

describe("the status", () => {
  test("is 0 when all is well, and every check has its line", async () => {
    const { out, err, status } = await world.end(false, doctor);
    expect(out).toMatch(/^ok {7}kernel: Linux 6\.12\nok {7}daemon: not running\n/);
    expect(out).toMatch(/\n\nno errors, no warnings\n$/);
    expect([err, status]).toEqual(["", ExitStatus.done]);
    expect(await world.json("doctor", doctor)).toMatchObject({ ok: true, errors: 0, warnings: 0 });
  });

  test("is 0 with warnings alone", async () => {
    world.checks = [{ ...kernel, severity: "warning", ok: false, remedy: "Use another." }];
    const { out, status } = await world.end(false, doctor);
    expect(out).toMatch(/^warning {2}kernel: Linux 6\.12\n {9}Use another\.\n/);
    expect(out).toMatch(/\n\n0 errors, 1 warning\n$/);
    expect(status).toBe(ExitStatus.done);
    expect(await world.json("doctor", doctor)).toMatchObject({ ok: true, errors: 0, warnings: 1 });
  });

  test("is 1 with an error", async () => {
    world.checks = [{ ...kernel, severity: "error", ok: false, remedy: "Use another." }];
    const { out, status } = await world.end(false, doctor);
    expect(out).toMatch(/^error {4}kernel: Linux 6\.12\n {9}Use another\.\n/);
    expect(out).toMatch(/\n\n1 error, 0 warnings\n$/);
    expect(status).toBe(ExitStatus.failed);
    expect(await world.json("doctor", doctor)).toMatchObject({ ok: false, errors: 1 });
  });
});

describe("what cannot be asked is an error among the other checks", () => {
  const failure = (code: ErrorCode): IlmError =>
    new IlmError(code, "it does not work", { remedy: "Mend it." });

  test("the data plane", async () => {
    world.failures.set("openDataPlane", failure("NOT_PERMITTED"));
    const { out, status } = await world.end(false, doctor);
    expect(out).toBe(
      "ok       kernel: Linux 6.12\n" +
        "error    data plane: NOT_PERMITTED: it does not work\n         Mend it.\n\n" +
        "1 error, 0 warnings\n",
    );
    expect(status).toBe(ExitStatus.failed);
    expect(await checksNamed("data plane")).toMatchObject([{ severity: "error", ok: false }]);
  });

  test("the rules", async () => {
    world.failures.set("lookAround", failure("INCOMPATIBLE"));
    const { out, status } = await world.end(false, doctor);
    expect(out).toMatch(/^error .*: INCOMPATIBLE: it does not work\n {9}Mend it\.\n/m);
    expect(status).toBe(ExitStatus.failed);
  });

  test("one check, and all others are made", async () => {
    const cause = new IlmError("SYSCALL", "sendto: EPERM");
    world.failures.set("tryFionread", cause);
    world.failures.set("lookAround", cause);
    const { checks } = (await world.json("doctor", doctor)) as DoctorJson;
    expect(checks.filter(({ ok }) => !ok)).toMatchObject(
      ["FIONREAD of UDP sockets", "the way to mappings"].map((name) => ({
        name,
        severity: "error",
        found: "SYSCALL: sendto: EPERM",
        remedy: "This was not checked; all else was.",
      })),
    );
    expect(checks.map(({ name }) => name)).toContain("MPTCP");
  });

  test("the daemon, and all else is looked at", async () => {
    world.failures.set("askDaemon", failure("DAEMON"));
    expect(await textOf("daemon")).toBe(
      "error    daemon: DAEMON: it does not work\n         Mend it.\n",
    );
    expect(await checksNamed("MPTCP")).toHaveLength(1);
  });

  test("but a bug is none of the host's, and fails the command", async () => {
    world.failures.set("lookAround", new TypeError("undefined is not a function"));
    const { err, status } = await world.end(false, doctor);
    expect(err).toContain("This is a bug in ilm");
    expect(status).toBe(ExitStatus.failed);
    expect(await world.failure(doctor)).toMatchObject({ error: { code: "INTERNAL" } });
  });
});

describe("the daemon", () => {
  test("that answers has its pid and version", async () => {
    world.daemon = { daemon: running, writer: null };
    expect(await textOf("daemon")).toBe("ok       daemon: pid 7, version 1.2.3\n");
  });

  test("that has the lock and does not answer is named, with its remedy", async () => {
    world.daemon = { daemon: null, writer: { pid: 7, command: "ilm run -f rules.yaml" } };
    expect(await checksNamed("daemon")).toMatchObject([
      { severity: "warning", found: expect.stringContaining("process 7 (ilm run") as string },
    ]);
    expect(await textOf("daemon")).toContain("kill 7");
  });

  test("is not meant by a command that has the lock", async () => {
    world.daemon = { daemon: null, writer: { pid: 7, command: "ilm apply -f rules.yaml" } };
    expect(await textOf("daemon")).toBe("ok       daemon: not running\n");
  });
});

describe("FIONREAD", () => {
  const socket = listener("127.0.1.10", 53, {
    protocol: "udp",
    kind: "udp",
    cookie: "53",
    placed: true,
  });
  const name = "FIONREAD of UDP sockets";

  test.each([
    ["right", "right, in a socket map too"],
    ["untried", "not tried: lo is down, or drops what is sent"],
    ["zero", "no daemon's socket is in one now"],
  ] as const)("%s is well as long as nobody is concerned", async (answer, found) => {
    world.fionread = answer;
    expect(await textOf(name)).toMatch(new RegExp(`^ok .*${found}\n$`));
  });

  test("that is wrong names the daemons whose sockets are concerned", async () => {
    world.fionread = "zero";
    world.dataPlane.sockets = [socket, listener("127.0.1.10", 80, { placed: true })];
    world.holders.set(socket.cookie, {
      pid: 53,
      command: "unbound",
      user: "unbound",
      cgroup: "",
      canBindLowPorts: false,
    });
    const [check] = await checksNamed(name);
    expect(check?.severity).toBe("warning");
    expect(check?.found).toContain("those of unbound (pid 53) on 127.0.1.10:53 are in one");
    expect(check?.remedy).toContain("handover: ingress");
  });
});

describe("MPTCP", () => {
  const socket = listener("127.0.1.10", 80, { kind: "mptcp" });

  test("that is off by the configuration is said", async () => {
    load({});
    expect(await textOf("MPTCP")).toMatch(/^ok .*off by `mptcp: off`; no listener/);
  });

  test("of a mapping's listener is named, before there is NAT", async () => {
    load({ mappings: [mapping("web")] });
    world.dataPlane.sockets = [socket];
    expect(await textOf("MPTCP")).toMatch(/^ok .*used by the listener on 127\.0\.1\.10:80: /);
  });
});

describe("the way to mappings", () => {
  const toIpv6 = [{ address: address("fd5e:ed00::10"), port: "same" as const }];

  test("through rules that are not known is a warning, with its remedy", async () => {
    load({ mappings: [mapping("mail", { ports: [{ first: 25, last: 25 }] })] });
    for (const firewall of [
      { chains: [], unfollowed: [], unread: "neither nft nor iptables-save is there to show them" },
      { chains: [], unfollowed: ["bridge edge in"], unread: null },
    ]) {
      world.around = { ...world.around, firewall };
      const [check, ...more] = await checksNamed("may be in the way");
      expect(check).toMatchObject({ severity: "warning", ok: false });
      expect(check?.remedy).not.toBe("");
      expect(more).toEqual([]);
    }
  });

  test("that ends before this host is in the way, with its remedy", async () => {
    const on = ["203.0.113.1/32" as Prefix];
    const mail = mapping("mail", { ports: [{ first: 25, last: 25 }], on });
    load({ mappings: [mapping("web", { on }), mail] });
    world.places = {
      ...world.places,
      own: [],
      routeOf: () => ({ type: "none", interfaceIndex: null }),
    };
    const text = await textOf("in the way");
    expect(text).toMatch(
      /^warning {2}in the way: of web, mail, such as tcp 203\.0\.113\.1:80: .*not an address of this host/,
    );
    expect(text).toContain("ip route add local 203.0.113.1/32 dev lo");
  });

  test("that ends at an address which is here at times is no warning", async () => {
    const floating = ["203.0.113.77/32" as Prefix];
    load({ floating, mappings: [mapping("web", { on: floating })] });
    world.places = { ...world.places, routeOf: () => ({ type: "none", interfaceIndex: null }) };
    expect(await textOf("in the way")).toMatch(/^ok .*203\.0\.113\.77 is not here now/);
    load({ mappings: [mapping("web", { on: floating })] });
    expect(await textOf("in the way")).toMatch(/^warning .*203\.0\.113\.77 is not an address/);
  });

  test("on which others may drop packets is reported, and no warning", async () => {
    load({ mappings: [mapping("web")] });
    world.around = { ...world.around, otherPrograms: ["theirs (link 7)"] };
    expect(await textOf("may be in the way")).toMatch(
      /^ok .*of web.*theirs \(link 7\).*\n {9}.*bpftool link show/,
    );
  });

  test.each([
    ["asking", /tentative/, /accept_dad=0/],
    ["taken", /dadfailed/, /ip addr del 2001:db8::1\/64 dev eth0 && ip addr add/],
  ] as const)("ends at an IPv6 address that is not used: %s", async (duplicate, what, remedy) => {
    const local = address("2001:db8::1");
    const place = { interfaceIndex: 2, prefixLength: 64, ours: false, duplicate };
    load({ mappings: [mapping("web", { to: toIpv6, on: [`${local}/128` as Prefix] })] });
    world.places = {
      ...world.places,
      own: [{ address: local, ...place }],
      routeOf: () => ({ type: "none", interfaceIndex: null }),
    };
    const text = await textOf("in the way");
    expect([text, text]).toEqual([expect.stringMatching(what), expect.stringMatching(remedy)]);
  });

  test.each([
    ["eth0", { up: false, carrier: false }, /^warning .* eth0 is down/, "ip link set eth0 up"],
    ["eth0", { up: true, carrier: false }, /^warning .* eth0 has no carrier/, "ip link show eth0"],
    ["tun0", { up: true, carrier: true }, /^ok .*no interface tun0 now/, "as soon as it comes"],
  ] as const)(
    "ends at an interface that a mapping names: %s %o",
    async (name, link, what, remedy) => {
      load({ mappings: [mapping("web", { interfaces: [name] }), mapping("all", dns)] });
      world.places = {
        ...world.places,
        links: new Map([[2, { ...link, resolves: true, inVrf: false }]]),
      };
      const text = await textOf("in the way");
      expect(text).toMatch(what);
      expect(text).toMatch(/ of web, such as /);
      expect(text).toContain(remedy);
    },
  );

  test("has no room where netfilter follows connections, and the table is full", async () => {
    const rule = (text: string): Chain["rules"][number] => ({
      place: "inet filter input handle 4",
      text,
      remove: "",
      branches: [{ conditions: [], action: { kind: "accept" } }],
      also: null,
      alters: null,
      untracks: false,
    });
    const chain = (text: string): Chain => ({
      family: "inet",
      table: "filter",
      name: "input",
      base: { hook: "input", type: "filter", priority: 0, policy: "accept" },
      rules: [rule(text)],
    });
    const seen = async (text: string, count: number, dropped: number): Promise<string> => {
      load({ mappings: [mapping("web")] });
      world.around = {
        ...world.around,
        conntrack: { count, limit: 1000, dropped },
        firewall: { chains: [chain(text)], unfollowed: [], unread: null },
      };
      return await textOf("in the way");
    };
    const follows = "ct state new accept";
    expect(await seen(follows, 1000, 7)).toMatch(/^warning .*no room for more.*7 packets/);
    expect(await seen(follows, 1000, 7)).toContain("nf_conntrack_max=2000");
    // Those without an answer are forgotten first.
    expect(await seen(follows, 1000, 0)).toMatch(/^ok .*may be in the way/);
    expect(await seen(follows, 999, 7)).not.toContain("no room");
    expect(await seen("tcp dport 80 accept", 1000, 7)).not.toContain("no room");
  });

  test("is looked at for a hundred mappings, and the rest is counted", async () => {
    const many = Array.from({ length: 103 }, (_, index) =>
      mapping(`m${index}`, { ports: [{ first: 1000 + index, last: 1000 + index }] }),
    );
    load({ mappings: many });
    expect(await textOf("the way to mappings")).toBe(
      "ok       the way to mappings: the other 3 mappings were not looked at\n",
    );
  });
});

describe("a filter at OUTPUT", () => {
  const toOther = { to: [{ address: address("127.0.1.10"), port: 5353 as const }] };

  test("is told of answers whose port is changed, by the names of their mappings", async () => {
    load({
      mappings: Array.from({ length: 7 }, (_, index) =>
        mapping(`dns${index}`, { ...dns, name: `dns${index}`, ...toOther }),
      ),
    });
    world.dataPlane.filtered = [4, 6];
    const text = await textOf("answers and conntrack");
    expect(text).toMatch(/^warning .*\(IPv4, IPv6\).* of dns0, .*dns4 and 2 more leave/);
    expect(text).toContain("udp sport PORT accept");
  });

  test("does not concern answers that keep their port, nor TCP", async () => {
    load({ mappings: [dns, mapping("web", toOther)] });
    world.dataPlane.filtered = [4];
    expect(await checksNamed("answers and conntrack")).toEqual([]);
    expect(await textOf("answers")).toMatch(/^ok .*OUTPUT \(IPv4\): .*was not looked at/);
  });
});

test("a UDP daemon that NAT cuts off is named with its process", async () => {
  load({ mappings: [dns] });
  const socket = listener("127.0.1.10", 53, { protocol: "udp", kind: "udp", cookie: "53" });
  world.dataPlane.sockets = [socket];
  world.dataPlane.translated = [4];
  world.holders.set(socket.cookie, {
    pid: 53,
    command: "unbound",
    user: "unbound",
    cgroup: "",
    canBindLowPorts: false,
  });
  expect(await textOf("unreached")).toMatch(
    /^warning {2}unreached: unbound \(pid 53\) on 127\.0\.1\.10:53 \(of dns\) is not reached/,
  );
  expect(await checksNamed("unregistered")).toHaveLength(1);
  world.daemon = { daemon: running, writer: null };
  expect(await checksNamed("unreached")).toHaveLength(1);
  expect(await checksNamed("unregistered")).toEqual([]);
});

test("who listens on a service's address without a mapping is named with its process", async () => {
  load({
    services: [{ name: "web", addresses: [address("127.0.1.10")], origin: mapping("web").origin }],
  });
  const socket = listener("127.0.1.10", 22, { cookie: "22" });
  world.dataPlane.sockets = [socket];
  world.holders.set(socket.cookie, {
    pid: 9,
    command: "sshd",
    user: "root",
    cgroup: "",
    canBindLowPorts: false,
  });
  const text = await textOf("foreign address");
  expect(text).toMatch(/^warning {2}foreign address: sshd \(pid 9\) on 127\.0\.1\.10:22 /);
  expect(text).toContain("listens on an address of service web");
  expect(text).toContain("give it an address of its own");
});
