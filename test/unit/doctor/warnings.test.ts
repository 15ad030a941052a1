// Goal: what works differently from what a user expects is named, each with its remedy, and nothing
// else is.
import type { Prefix } from "../../../src/model/address.js";
import { describe, expect, test } from "vitest";
import { findWarnings, type Circumstances } from "../../../src/doctor/warnings.js";
import type { Rules } from "../../../src/model/rules.js";
import { Judge } from "../../../src/rules/judge.js";
import { address, listener } from "../cli/fixtures.js";

const origin = { file: "rules.yaml", line: 1, column: 1 };
const rules: Rules = {
  sources: ["/rules.yaml"],
  file: {
    services: [
      { name: "web", addresses: [address("127.0.1.10"), address("fd5e:ed00::10")], origin },
    ],
    mappings: [
      {
        name: "web",
        protocol: "tcp",
        ports: [{ first: 80, last: 80 }],
        on: [],
        to: [{ address: address("127.0.1.10"), port: "same" }],
        existing: "exact",
        miss: "pass",
        origin,
      },
    ],
  },
  runtime: [],
};

const fine: Circumstances = {
  rules,
  listeners: [listener("127.0.1.10", 80)],
  judge: new Judge(rules, "refuse", () => true),
  upAddresses: new Set([address("fd5e:ed00::10")]),
  routesMissing: [],
  networks: [],
  ephemeral: null,
  absentDestinations: new Set(),
  daemon: null,
  engine: "registry",
  steers: true,
  vrfs: new Set([7]),
  endedNamespaces: [],
  flows: { live: 100, capacity: 65_536 },
  faults: { untracked: 0, unplaced: 0, flows: 0, unanswered: 0, unsteered: 0 },
  uncoveredInterfaces: [],
  off: false,
  earlier: null,
  detached: [],
  overtaken: [],
  kfuncTrouble: null,
};

const daemon = {
  pid: 1,
  version: "0",
  startedAt: "",
  following: "/rules.yaml",
  followed: ["/rules.yaml"],
  lastReload: null,
  reloads: { done: 1, failed: 1 },
};

function kinds(changes: Partial<Circumstances>): string[] {
  return findWarnings({ ...fine, ...changes }).map(({ kind }) => kind);
}

test("prefixes of anyip without a route, or where others are too, are told", () => {
  const prefixes = ["203.0.113.0/24", "10.77.0.128/25"] as Prefix[];
  const own = { ...rules, file: { ...rules.file, anyip: prefixes } };
  const network = { interfaceName: "eth0", address: address("10.77.0.2"), length: 24 };
  const single = { interfaceName: "eth0", address: address("203.0.113.9"), length: 32 };
  expect(kinds({ rules: own, networks: [single] })).toEqual([]);
  expect(kinds({ rules: own, networks: [single, network] })).toEqual(["anyip-on-link"]);
  expect(kinds({ rules: own, routesMissing: prefixes.slice(1) })).toEqual(["anyip-missing"]);
});

describe("there is", () => {
  test("no warning when all is well, and none when nothing is loaded", () => {
    expect(kinds({})).toEqual([]);
    expect(kinds({ rules: null, listeners: [listener("0.0.0.0", 80)] })).toEqual([]);
  });

  test("no warning of a destination that is simply down", () => {
    expect(kinds({ listeners: [] })).toEqual([]);
  });

  test("a warning when only a wildcard listener would answer", () => {
    expect(kinds({ listeners: [listener("0.0.0.0", 80)] })).toEqual(["wildcard-would-answer"]);
  });

  test("a warning when a mapping of UDP covers the ports of the host's own clients", () => {
    const udp = rules.file.mappings.map((mapping) => ({
      ...mapping,
      protocol: "udp" as const,
      ports: [{ first: 30_000, last: 40_000 }],
    }));
    const wide = { ...rules, file: { ...rules.file, mappings: udp } };
    const ephemeral = { range: { first: 32_768, last: 60_999 }, reserved: [] };
    expect(kinds({ rules: wide, listeners: [], ephemeral })).toEqual(["ephemeral-ports"]);
    expect(kinds({ ephemeral })).toEqual([]);
    const reserved = [{ first: 30_000, last: 41_000 }];
    expect(kinds({ rules: wide, listeners: [], ephemeral: { ...ephemeral, reserved } })).toEqual(
      [],
    );
  });

  test("a warning of a service's address that no interface has, but not of 127.0.0.0/8", () => {
    const [warning, ...others] = findWarnings({ ...fine, upAddresses: new Set() });
    expect(warning?.kind).toBe("address-missing");
    expect(warning?.message).toContain("fd5e:ed00::10");
    expect(others).toEqual([]);
  });

  test("a warning of a destination on another host, which names the mappings, and none when a socket listens there", () => {
    const to = [{ address: address("203.0.113.9"), port: 80 }] as const;
    const mappings = ["a", "b"].map((name) => ({ ...rules.file.mappings.at(0)!, name, to }));
    const elsewhere = { ...rules, file: { ...rules.file, mappings } };
    const absentDestinations = new Set([address("203.0.113.9")]);
    const [warning, ...others] = findWarnings({ ...fine, rules: elsewhere, absentDestinations });
    expect(warning).toEqual({
      kind: "destination-elsewhere",
      message:
        "each of the mappings a, b leads to 203.0.113.9, which is not an address of this host: ilm sends nothing to other hosts, it leads to daemons that listen here",
      remedy:
        "Write the address on which the daemon listens, such as 127.0.1.10; nothing is wrong when the address comes later (DHCP, VRRP) or the daemon binds it beforehand (IP_FREEBIND); nftables (DNAT) and proxies lead to other hosts.",
      about: ["a"],
    });
    expect(others).toEqual([]);
    expect(kinds({ rules: elsewhere })).toEqual([]);
    const listeners = [listener("203.0.113.9", 80)];
    expect(kinds({ rules: elsewhere, absentDestinations, listeners })).toEqual([]);
  });

  test("a warning when nearly as many UDP clients are recorded as fit", () => {
    expect(kinds({ flows: { live: 58_900, capacity: 65_536 } })).toEqual([]);
    expect(kinds({ flows: { live: 59_000, capacity: 65_536 } })).toEqual(["flows-full"]);
    expect(kinds({ flows: null, faults: null })).toEqual([]);
  });

  test("a warning of interfaces that the programs are not on", () => {
    expect(kinds({ uncoveredInterfaces: ["eth9"] })).toEqual(["interface-uncovered"]);
  });

  test("a warning of programs that run before ours", () => {
    const overtaken = [
      { interface: "eth0", direction: "ingress", programs: ["stranger", "2"] },
    ] as const;
    const [warning] = findWarnings({ ...fine, overtaken });
    expect(warning?.kind).toBe("interface-overtaken");
    expect(warning?.message).toContain("on eth0, stranger, 2 run before ilm at ingress");
  });

  test("a warning of a module that is loaded but cannot be used", () => {
    expect(kinds({ kfuncTrouble: "it has no BTF" })).toEqual(["engine"]);
  });

  test("a warning of what ingress does not find: MPTCP and UDP listeners that are bound to a VRF", () => {
    const mptcp = listener("127.0.1.10", 80, { kind: "mptcp", device: 7 });
    expect(kinds({ listeners: [mptcp] })).toEqual(["vrf"]);
    expect(kinds({ listeners: [{ ...mptcp, kind: "tcp", placed: true }] })).toEqual([]);
    expect(kinds({ listeners: [{ ...mptcp, device: 6 }] })).toEqual([]);
    expect(kinds({ listeners: [mptcp], engine: "kfunc" })).toEqual([]);
    expect(kinds({ listeners: [mptcp], steers: false })).toEqual(["mptcp"]);
  });

  test("a warning of its own for each kind of fault that was counted", () => {
    const found = findWarnings({
      ...fine,
      faults: { untracked: 1, unplaced: 2, flows: 3, unanswered: 4, unsteered: 5 },
    });
    expect(found.map(({ kind }) => kind)).toEqual([
      "untracked",
      "unplaced",
      "flows",
      "unanswered",
      "unsteered",
    ]);
    expect(found.map(({ message }) => Number(/\d+/.exec(message)?.[0]))).toEqual([1, 2, 3, 4, 5]);
    expect(new Set(found.map(({ remedy }) => remedy)).size).toBe(5);
  });

  test("a warning that names the file which the daemon refused", () => {
    const error = {
      code: "CONFIGURATION",
      message: "1 error",
      remedy: null,
      problems: [],
    } as const;
    const refused = { ...daemon, lastReload: { time: "", error } };
    const [warning] = findWarnings({ ...fine, daemon: refused });
    expect(warning?.kind).toBe("reload-failed");
    expect(warning?.message).toContain("/rules.yaml");
    expect(warning?.remedy).toContain("ilm check -f /rules.yaml");
    expect(kinds({ daemon: { ...daemon, lastReload: { time: "", error: null } } })).toEqual([]);
  });

  test("a refused file is warned of with what is wrong, as a check of it alone need not find that", () => {
    const problem = (line: number) => ({
      severity: "error" as const,
      file: "/rules.yaml",
      line,
      column: 3,
      path: "",
      message: `wrong ${line}`,
      hint: "be right",
    });
    const remedyOf = (lines: readonly number[]): string | undefined => {
      const problems = lines.map(problem);
      const error = { code: "CONFIGURATION", message: "errors", remedy: null, problems } as const;
      const refused = { ...daemon, lastReload: { time: "", error } };
      return findWarnings({ ...fine, daemon: refused })[0]?.remedy;
    };
    const again = "The daemon tries again by itself when the file or the rules change.";
    expect(remedyOf([7])).toBe(`/rules.yaml:7:3: wrong 7; be right\n${again}`);
    expect(remedyOf([1, 2, 3, 4, 5])).toBe(
      `/rules.yaml:1:3: wrong 1; be right\n/rules.yaml:2:3: wrong 2; be right\n/rules.yaml:3:3: wrong 3; be right\nand 2 more problems: \`ilm check -f /rules.yaml\`\n${again}`,
    );
  });

  test("that failed because the host was short of something does not point at the file", () => {
    const error = {
      code: "UNAVAILABLE",
      message: "/rules.yaml cannot be read: this process has reached its limit of open files",
      remedy: "Allow it more.",
      problems: [],
    } as const;
    const short = { ...daemon, lastReload: { time: "", error } };
    const [warning] = findWarnings({ ...fine, daemon: short });
    expect(warning?.message).toContain(error.message);
    expect(warning?.remedy).toBe("Allow it more. The daemon tries again automatically.");
  });
});

test("an MPTCP listener of a mapping is warned of only where the kernel has no ingress", () => {
  const listeners = [listener("127.0.1.10", 80, { kind: "mptcp" })];
  expect(kinds({ listeners })).toEqual([]);
  expect(kinds({ listeners, steers: false })).toEqual(["mptcp"]);
  expect(kinds({ steers: false })).toEqual([]);
});

test("the state of namespaces that ended is warned of", () => {
  expect(kinds({ endedNamespaces: [4026532001] })).toEqual(["ended-namespaces"]);
});

test("strangers that are only reported because an earlier version selected them are warned of, until the configuration says what they get", () => {
  const reported = new Judge(rules, "report", () => true);
  expect(kinds({ judge: reported })).toEqual(["strangers-reported"]);
  const said = { ...rules, file: { ...rules.file, strangers: "report" as const } };
  expect(kinds({ rules: said, judge: reported })).toEqual([]);
});
