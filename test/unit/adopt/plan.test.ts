// Goal: what listens on a host becomes services, each with its ports, and the rest is left alone
// with a reason; no daemon loses what it has because of another one.
import { describe, expect, test } from "vitest";
import type { Facts, Found, KnownService, UnitState } from "../../../src/adopt/facts.js";
import { makePlan, type PlanOptions } from "../../../src/adopt/plan.js";
import type { Plan } from "../../../src/adopt/service.js";
import type { Holder, Listener } from "../../../src/model/listener.js";
import { address, listener } from "../cli/fixtures.js";

const users = new Map([
  [0, "root"],
  [33, "www-data"],
  [1000, "app"],
  [65_534, "nobody"],
]);

interface Change {
  readonly unit?: string | null;
  readonly socketUnit?: string | null;
  readonly holder?: Partial<Holder> | null;
  readonly uid?: number;
  readonly of?: Partial<Listener>;
}

function found(at: string, port: number, change: Change = {}): Found {
  const { unit = "web.service", socketUnit = null, holder = {}, uid = 0, of = {} } = change;
  return {
    listener: listener(at, port, { identity: { uid, gid: uid, unit: "0" }, ...of }),
    holder: holder && {
      pid: 100,
      command: "web",
      user: users.get(uid) ?? "",
      cgroup: `/system.slice/${unit ?? ""}`,
      canBindLowPorts: false,
      ...holder,
    },
    unit,
    socketUnit,
  };
}

function state(unit: string, changes: Partial<UnitState> = {}): UnitState {
  return { unit, active: true, mainPid: 100, triggers: [], accepts: false, ...changes };
}

const udp: Partial<Listener> = { protocol: "udp", kind: "udp" };

function facts(all: readonly Found[], changes: Partial<Facts> = {}): Facts {
  return {
    found: all,
    units: new Map([state("web.service"), state("db.service")].map((one) => [one.unit, one])),
    ownSockets: new Set(),
    userName: (uid) => users.get(uid) ?? String(uid),
    ephemeral: {
      range: { first: 32_768, last: 60_999 },
      reserved: [{ first: 50_051, last: 50_051 }],
    },
    firstUnprivileged: 1024,
    families: [4, 6],
    known: [],
    self: 1,
    ...changes,
  };
}

function plan(
  all: readonly Found[],
  changes: Partial<Facts> = {},
  options: Partial<PlanOptions> = {},
): Plan {
  const none = { names: [], restarts: new Map<string, string>(), socketUnits: [] };
  return makePlan(facts(all, changes), { ...none, ...options });
}

function portsOf({ services }: Plan): Record<string, string[]> {
  return Object.fromEntries(
    services.map(({ name, ports }) => [
      name,
      ports.map(({ protocol, port, families }) => `${protocol} ${port} ${families.join()}`),
    ]),
  );
}

const kindsOf = ({ left }: Plan): string[] => left.map(({ kind }) => kind);

describe("services", () => {
  test("all that a unit has on every address is one service, by port and protocol", () => {
    const all = [
      found("0.0.0.0", 443),
      found("0.0.0.0", 80),
      found("::", 80, { of: { v6only: true } }),
      found("0.0.0.0", 443, { of: udp }),
      found("::", 5432, { unit: "db.service" }),
    ];
    expect(portsOf(plan(all))).toEqual({
      db: ["tcp 5432 4,6"],
      web: ["tcp 80 4,6", "tcp 443 4", "udp 443 4"],
    });
  });

  test.each([
    ["postgresql@15-main.service", "postgresql-15-main"],
    ["Foo Bar.service", "foo-bar"],
    ["127.service", "service-127"],
    ["@x.service", "x"],
    // The name of what holds connections during a move.
    ["adopt-hold.service", "adopt-hold-2"],
  ])("the service of %s is called %s", (unit, name) => {
    expect(plan([found("::", 80, { unit })]).services[0]?.name).toBe(name);
  });

  test("two units whose names would be the same have different ones", () => {
    const all = [
      found("::", 80, { unit: "a b.service" }),
      found("::", 81, { unit: "a-b.service" }),
    ];
    expect(plan(all).services.map(({ name }) => name)).toEqual(["a-b", "a-b-2"]);
  });

  test("SSH is the last one", () => {
    const sshd = { unit: "a-ssh.service", holder: { command: "sshd" } };
    const { services } = plan([found("::", 22, sshd), found("::", 80)]);
    expect(services.map(({ name, isSsh }) => [name, isSsh])).toEqual([
      ["web", false],
      ["a-ssh", true],
    ]);
  });

  test("a process in no unit is adopted by its user, if it is nobody else's", () => {
    const own = { unit: null, uid: 1000 };
    expect(plan([found("::", 8080, own)]).services[0]?.owner).toEqual({ user: "app" });
    expect(kindsOf(plan([found("::", 8080, { unit: null, uid: 65_534 })]))).toEqual(["user"]);
    const shared = [found("::", 8080, own), found("127.0.0.1", 9, { uid: 1000 })];
    expect(kindsOf(plan(shared))).toEqual(["loopback", "user"]);
  });

  test("only those that are asked for are moved, by service, unit or user", () => {
    const all = [found("::", 80), found("::", 81, { unit: "db.service" })];
    for (const name of ["web", "web.service"]) {
      const asked = plan(all, {}, { names: [name] });
      expect(asked.services.map((one) => one.name)).toEqual(["web"]);
      expect(kindsOf(asked)).toEqual(["not-asked"]);
    }
  });
});

describe("how it is restarted", () => {
  const restartOf = (made: Plan): unknown => made.services[0]?.restart;

  test("a unit by systemd, and anything else by the command that is given", () => {
    expect(restartOf(plan([found("::", 80)]))).toEqual({ kind: "unit", unit: "web.service" });
    const user = [found("::", 80, { unit: null, uid: 1000 })];
    expect(restartOf(plan(user))).toEqual({ kind: "unknown" });
    const restarts = new Map([["app", "/opt/restart"]]);
    const command = { kind: "command", command: "/opt/restart" };
    expect(restartOf(plan(user, {}, { restarts }))).toEqual(command);
    expect(restartOf(plan([found("::", 80)], { units: new Map() }))).toEqual({ kind: "unknown" });
    const manager = [found("::", 80, { unit: "user@1000.service" })];
    expect(restartOf(plan(manager))).toEqual({ kind: "unknown" });
  });

  test("socket units with what they start, if that runs; none of it for one that accepts", () => {
    const all = [found("::", 80, { socketUnit: "web.socket" })];
    const units = (changes: Partial<UnitState>, active: boolean): Facts["units"] =>
      new Map([
        ["web.socket", state("web.socket", { triggers: ["web.service"], ...changes })],
        ["web.service", state("web.service", { active })],
      ]);
    const sockets = { kind: "sockets", sockets: ["web.socket"] };
    const running = { ...sockets, services: ["web.service"] };
    expect(restartOf(plan(all, { units: units({}, true) }))).toEqual(running);
    const idle = { ...sockets, services: [] };
    expect(restartOf(plan(all, { units: units({}, false) }))).toEqual(idle);
    expect(restartOf(plan(all, { units: units({ accepts: true }, true) }))).toEqual(idle);
  });

  test("one that is asked to gets a socket unit, and loses it on the way back", () => {
    const socket = { unit: "web.service", socket: "web.socket" };
    const asked = plan([found("::", 80)], {}, { socketUnits: ["web"] });
    expect(restartOf(asked)).toEqual({ kind: "to-socket", ...socket });
    const written = plan([found("::", 80, { socketUnit: "web.socket" })], {
      ownSockets: new Set(["web.socket"]),
    });
    expect(restartOf(written)).toEqual({ kind: "from-socket", ...socket });
  });
});

describe("what is left alone", () => {
  test.each<[string, Found]>([
    ["loopback", found("127.0.0.1", 80)],
    ["loopback", found("::1", 80)],
    ["address", found("203.0.113.5", 80)],
    ["device", found("0.0.0.0", 80, { of: { device: 3, deviceName: "eth0" } })],
    ["client", found("0.0.0.0", 40_000, { of: udp })],
    ["assigned", found("::", 40_000)],
    ["group", found("0.0.0.0", 5353, { of: udp })],
    ["group", found("0.0.0.0", 67, { of: udp })],
    ["speaks-first", found("0.0.0.0", 123, { of: udp, holder: { command: "ntpd" } })],
    ["kernel", found("0.0.0.0", 51_820, { of: { ...udp, inode: 0 } })],
    ["kernel", found("0.0.0.0", 80, { holder: null })],
    ["container", found("0.0.0.0", 80, { holder: { command: "docker-proxy" } })],
    ["container", found("::", 80, { holder: { cgroup: "/system.slice/docker-4f.scope" } })],
    ["system", found("::", 5356, { unit: "systemd-resolved.service" })],
    ["system", found("::", 80, { unit: null, holder: { pid: 1 } })],
    ["system", found("::", 80, { holder: { pid: 1 }, unit: "init.scope" })],
    ["session", found("::", 80, { unit: null })],
    ["session", found("::", 80, { unit: "session-3.scope" })],
  ])("%s", (kind, one) => {
    const made = plan([one]);
    expect(made.services).toEqual([]);
    expect(kindsOf(made)).toEqual([kind]);
    expect(made.left[0]?.reason).toMatch(/^\S.*[^.]$/);
  });

  test("a port that is reserved is not one that the kernel assigns", () => {
    expect(portsOf(plan([found("::", 50_051)]))).toEqual({ web: ["tcp 50051 4,6"] });
  });

  test("two units with one port, as each would lose it to the other", () => {
    const all = [
      found("0.0.0.0", 80),
      found("::", 80, { unit: "db.service", of: { v6only: true } }),
      found("::", 443),
    ];
    const made = plan(all);
    expect(made.services).toEqual([]);
    expect(kindsOf(made)).toEqual(["shared", "shared", "shared"]);
  });

  test("a port that another user has at an exact address, and root's or the unit's own is none", () => {
    const exact = (change: Change): Found => found("203.0.113.5", 8080, change);
    const strangers = plan([found("::", 8080), exact({ unit: "db.service", uid: 1000 })]);
    expect(kindsOf(strangers)).toEqual(["shared", "address"]);
    for (const change of [{ unit: "db.service" }, { uid: 1000 }]) {
      expect(plan([found("::", 8080), exact(change)]).services).toHaveLength(1);
    }
  });
});

describe("during a restart", () => {
  test("the daemon's other sockets are held, and clients' are not", () => {
    const all = [
      found("0.0.0.0", 80),
      found("127.0.0.1", 8080),
      found("203.0.113.5", 53, { of: udp }),
      found("0.0.0.0", 41_000, { of: udp }),
      found("::", 40_000),
      found("127.0.0.1", 5432, { unit: "db.service" }),
    ];
    const held = plan(all).services[0]?.held ?? [];
    expect(
      held.map(({ protocol, port, address: at, mayChange }) => [protocol, port, at, mayChange]),
    ).toEqual([
      ["tcp", 8080, "127.0.0.1", false],
      ["udp", 53, "203.0.113.5", false],
      ["tcp", 40_000, null, true],
    ]);
  });

  test("MPTCP is noticed, as a restart turns it into TCP", () => {
    const mptcp = found("::", 80, { of: { kind: "mptcp" } });
    expect(plan([mptcp]).services[0]?.mptcp).toBe(true);
  });
});

describe("what an earlier run has adopted", () => {
  const known: KnownService = {
    name: "site",
    unit: "web.service",
    user: null,
    addresses: [address("127.64.0.1"), address("fd00::1")],
    publish: ["80", "53/udp"],
    mptcpOff: false,
  };

  test("is at home, on a dual-stack socket as well, and keeps its name", () => {
    const home = [
      found("127.64.0.1", 80, { of: { family: 6 } }),
      found("127.64.0.1", 53, { of: udp }),
    ];
    const made = plan(home, { known: [known] });
    expect(made.services).toMatchObject([{ name: "site", place: "private" }]);
    expect(portsOf(made)).toEqual({ site: ["tcp 80 4,6", "udp 53 4"] });
    expect(made.left).toEqual([]);
  });

  test("is on every address again, as after a reboot", () => {
    const made = plan([found("::", 80)], { known: [known] });
    expect(made.services).toMatchObject([{ name: "site", place: "wildcard" }]);
  });

  test("listens nowhere when it was stopped", () => {
    expect(plan([], { known: [known] }).services).toMatchObject([{ place: "nowhere" }]);
  });

  test("what it still has on every address stays there", () => {
    const all = [found("127.64.0.1", 80), found("0.0.0.0", 5300, { of: udp })];
    const made = plan(all, { known: [known] });
    expect(made.services).toMatchObject([{ place: "private" }]);
    expect(kindsOf(made)).toEqual(["unpublished"]);
  });
});
