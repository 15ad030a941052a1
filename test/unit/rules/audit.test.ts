// Goal: audit finds who sits where others belong, says what becomes of them and what mends it, and
// is silent about those who are at home.
import { describe, expect, test } from "vitest";
import type { Listener } from "../../../src/model/listener.js";
import type { Mapping, Owner, Service, StrangerPolicy } from "../../../src/model/mapping.js";
import type { RuleSet, Rules } from "../../../src/model/rules.js";
import {
  type Audited,
  auditListeners,
  auditPrivileges,
  auditServices,
} from "../../../src/rules/audit.js";
import { type IsPermitted, Judge } from "../../../src/rules/judge.js";
import { address, listener } from "../cli/fixtures.js";
import { mapping, prefix, rules as rulesOf } from "../daemon/fixtures.js";

const uids = new Map<string | number | undefined, number>([
  ["root", 0],
  ["www-data", 33],
  ["tester", 1000],
  [1000, 1000],
]);

/** As the programs judge, with the users above. */
const isPermitted: IsPermitted = ({ identity }, permit) => {
  if (permit === null || (permit.root && identity.uid === 0)) return true;
  return permit.owners.some(
    ({ unit, user, group }: Owner) =>
      (unit === undefined || unit === identity.unit) &&
      (identity.uid === 0 ||
        ((user === undefined || uids.get(user) === identity.uid) &&
          (group === undefined || uids.get(group) === identity.gid))),
  );
};

const origin = { file: "rules.yaml", line: 2, column: 3 };
const web: Service = {
  name: "web",
  addresses: [address("127.0.1.10")],
  owner: { user: "www-data" },
  origin,
};
const free: Service = { name: "free", addresses: [address("127.0.1.11")], origin };
const ports = (port: number): Mapping["ports"] => [{ first: port, last: port }];
const toWeb = mapping("web", { ports: ports(80) });

const by = (uid: number): Partial<Listener> => ({ identity: { uid, gid: uid, unit: "0" } });

function audited(
  listeners: readonly Listener[],
  file: Partial<RuleSet> = {},
  strangers: StrangerPolicy = "refuse",
): Audited {
  const rules: Rules = rulesOf({ services: [web, free], mappings: [toWeb], ...file });
  const judge = new Judge(rules, strangers, isPermitted, 1024);
  const ephemeral = { range: { first: 32_768, last: 60_999 }, reserved: [] };
  return { rules, judge, listeners, ephemeral };
}

describe("a listener on a service's address", () => {
  test("whose owner it is not is a stranger there, also on a mapped port", () => {
    const there = [
      listener("127.0.1.10", 80, by(1000)),
      listener("127.0.1.10", 81, by(1000)),
      listener("127.0.1.10", 82, by(33)),
    ];
    expect(auditListeners(audited(there))).toMatchObject([
      {
        listener: { port: 80 },
        kind: "foreign-address",
        service: "web",
        mapping: "web",
        denied: true,
        message: expect.stringMatching(/belongs to user www-data: .* gets nothing/) as string,
      },
      {
        listener: { port: 81 },
        kind: "foreign-address",
        denied: false,
        message: expect.stringContaining("as no mapping has tcp port 81") as string,
      },
    ]);
  });

  test("without an owner is found where no mapping leads, and gets what it gets", () => {
    const [found, ...more] = auditListeners(audited([listener("127.0.1.11", 22)]));
    expect(found).toMatchObject({ kind: "foreign-address", service: "free", denied: false });
    expect(found?.message).toContain("where no mapping leads");
    expect(more).toEqual([]);
  });
});

describe("a listener on a mapped port", () => {
  const dialled = (uid: number) => [listener("203.0.113.1", 80, by(uid))];

  test("gets nothing where the mapping does not permit it, and names that mapping", () => {
    expect(auditListeners(audited(dialled(1000)))).toMatchObject([
      { kind: "mapped-port", mapping: "web", policy: "refuse", denied: true },
    ]);
  });

  test("gets the connections with strangers: report, and is not listed where they are allowed", () => {
    const [found] = auditListeners(audited(dialled(1000), {}, "report"));
    expect(found).toMatchObject({ policy: "report", denied: false });
    expect(found?.message).toContain("it gets what is dialled there, as `strangers` is report");
    expect(auditListeners(audited(dialled(1000), {}, "allow"))).toEqual([]);
  });

  test("is at home as root, as the service's owner, and as one that the mapping names", () => {
    const named = mapping("web", { ports: ports(80), listeners: [{ user: "tester" }] });
    expect(auditListeners(audited(dialled(0)))).toEqual([]);
    expect(auditListeners(audited(dialled(33)))).toEqual([]);
    expect(auditListeners(audited(dialled(1000), { mappings: [named] }))).toEqual([]);
  });

  test("is at home on a loopback address, where its port takes privilege to bind", () => {
    const at = (where: string, port: number): unknown[] =>
      auditListeners(
        audited([listener(where, port, by(1000))], {
          mappings: [mapping("web", { ports: [{ first: 1, last: 65_535 }] })],
        }),
      );
    expect(at("127.0.0.53", 1023)).toEqual([]);
    expect(at("::1", 53)).toEqual([]);
    expect(at("127.0.0.53", 1024)).toMatchObject([{ kind: "mapped-port" }]);
    expect(at("203.0.113.1", 53)).toMatchObject([{ kind: "mapped-port" }]);
    expect(at("127.0.1.10", 53)).toMatchObject([{ kind: "foreign-address" }]);
  });

  test("is judged by the mapping that decides there, and not by one with a condition", () => {
    const near = mapping("near", {
      ports: ports(80),
      on: [prefix("203.0.113.1/32")],
      listeners: "anyone",
    });
    const some = mapping("some", {
      ports: ports(80),
      on: [prefix("203.0.113.1/32")],
      from: [prefix("192.0.2.0/24")],
    });
    expect(auditListeners(audited(dialled(1000), { mappings: [toWeb, near] }))).toEqual([]);
    const [found] = auditListeners(audited(dialled(1000), { mappings: [some, toWeb] }));
    expect(found?.mapping).toBe("web");
  });
});

describe("a listener on every address", () => {
  test("has the policy of its service, its user, or the default, and `deny` spares clients' ports", () => {
    const service: Service = { ...web, wildcard: "deny" };
    const wildcard = { default: "allow", users: { "1000": "report" } } as const;
    const found = auditListeners(
      audited(
        [
          listener("0.0.0.0", 80, by(33)),
          listener("0.0.0.0", 81, by(1000)),
          listener("::", 82, by(0)),
          listener("0.0.0.0", 40_000, { protocol: "udp", kind: "udp" }),
        ],
        { services: [service], wildcard },
      ),
    );
    expect(found.map(({ policy, policyBy, denied }) => [policy, policyBy, denied])).toEqual([
      ["deny", "service", true],
      ["report", "user", true],
      ["allow", "default", true],
      ["allow", "default", false],
    ]);
    expect(found[0]?.message).toContain("its next bind is refused");
    expect(found[0]?.remedy).toContain("wildcard: allow");
  });

  test("is the destination of a mapping only where one permits it", () => {
    const mappings = [mapping("any", { ports: ports(22), to: [{ address: "*", port: 22 }] })];
    const [root, other] = auditListeners(
      audited([listener("0.0.0.0", 22), listener("::", 22, by(1000))], { mappings }),
    );
    expect(root?.message).toContain("as the destination of a mapping");
    expect(other?.message).not.toContain("as the destination");
  });
});

describe("whom nobody serves", () => {
  const none = new Set<never>();

  test("is a service whose destinations only strangers have, and one that nothing leads to", () => {
    const found = auditServices(audited([listener("127.0.1.10", 80, by(1000))]), none);
    expect(found).toMatchObject([
      { kind: "service-unserved", service: "web" },
      { kind: "service-unserved", service: "free" },
    ]);
    expect(found[0]?.message).toContain("Only strangers listen there");
  });

  test("is told where its owner listens instead", () => {
    const [found] = auditServices(audited([listener("127.0.1.10", 8080, by(33))]), none);
    expect(found?.message).toContain("It listens on 127.0.1.10:8080 (tcp), where no mapping leads");
  });

  test("is nobody whose owner listens", () => {
    const there = [listener("127.0.1.10", 80, by(33)), listener("127.0.1.11", 1)];
    expect(auditServices(audited(there), none)).toEqual([]);
  });

  test("is told of the socket unit that may start its daemon", () => {
    const owned = { ...web, owner: { unit: "nginx.service" } };
    const [found] = auditServices(audited([], { services: [owned] }), none);
    expect(found?.remedy).toContain("its daemon (unit nginx.service), or nginx.socket if it has");
  });

  test("is no mapping from one address of a service to another, where the service is served", () => {
    const two = [address("127.0.1.10"), address("fd5e:ed00::10")];
    const services = [{ ...web, addresses: two }];
    const within = mapping("within", {
      ports: ports(80),
      on: [prefix("fd5e:ed00::10/128")],
      to: [{ address: address("127.0.1.10"), port: "same", dualStack: true }],
    });
    const toBoth = mapping("web", {
      ports: ports(80),
      to: two.map((one) => ({ address: one, port: "same" })),
    });
    const there = [listener("fd5e:ed00::10", 80, by(33))];
    const given = { services, mappings: [toBoth, within] };
    expect(auditServices(audited(there, given), none)).toEqual([]);
    expect(auditServices(audited([], given), none)).toMatchObject([{ kind: "service-unserved" }]);
    const from = { ...within, on: [prefix("203.0.113.1/32")] };
    expect(
      auditServices(audited(there, { services, mappings: [toBoth, from] }), none),
    ).toMatchObject([{ kind: "mapping-unserved", mapping: "within" }]);
  });

  test("is a mapping without listeners, once for all that lead there, and not when it leads elsewhere", () => {
    const to: Mapping["to"] = [{ address: address("127.0.0.1"), port: 9000 }];
    const mappings = [mapping("a", { to }), mapping("b", { to, ports: ports(81) })];
    const given = audited([listener("0.0.0.0", 9000)], { services: [], mappings });
    const [found, ...more] = auditServices(given, none);
    expect(found).toMatchObject({ kind: "mapping-unserved", mapping: "a" });
    expect(found?.message).toContain("(as 1 more do)");
    expect(found?.remedy).toContain('"*:9000"');
    expect(more).toEqual([]);
    expect(auditServices(given, new Set([address("127.0.0.1")]))).toEqual([]);
  });
});

describe("privileges for low ports", () => {
  const holder = (pid: number) => ({
    pid,
    command: "nginx",
    user: "www-data",
    cgroup: "",
    canBindLowPorts: true,
  });
  const own = listener("127.0.1.10", 80, by(33));

  test("are found on an owner, unless it has a low port elsewhere", () => {
    const all = () => holder(7);
    expect(auditPrivileges(audited([own]), all, 1024)).toMatchObject([
      { kind: "privilege", service: "web", listener: { port: 80 } },
    ]);
    const elsewhere = listener("203.0.113.1", 443, by(33));
    expect(auditPrivileges(audited([own, elsewhere]), all, 1024)).toEqual([]);
    expect(auditPrivileges(audited([elsewhere]), all, 1024)).toEqual([]);
    const without = () => ({ ...holder(7), canBindLowPorts: false });
    expect(auditPrivileges(audited([own]), without, 1024)).toEqual([]);
  });

  test("are found in the sysctl, where services have owners", () => {
    const [found] = auditPrivileges(audited([]), () => undefined, 80);
    expect(found?.message).toContain("net.ipv4.ip_unprivileged_port_start is 80");
    const ownerless = audited([], { services: [free] });
    expect(auditPrivileges(ownerless, () => undefined, 80)).toEqual([]);
  });
});
