/** What others have, as our configuration: read back by our own parser. */
import { describe, expect, test } from "vitest";
import { formatImported, type Imported } from "../../../src/config/imported.js";
import { importNft, type Host } from "../../../src/config/import-nft.js";
import type { NftSources } from "../../../src/config/nft/sources.js";
import { importTubular } from "../../../src/config/import-tubular.js";
import { parseConfiguration } from "../../../src/config/parse.js";
import type { Address } from "../../../src/model/address.js";

function meaning(text: string): unknown[] {
  return parseConfiguration([{ name: "imported.yaml", text }]).ruleSet.mappings.map(
    ({ protocol, ports, on, from, interfaces, to }) => ({
      protocol,
      ports,
      on,
      from,
      interfaces,
      to,
    }),
  );
}

describe("tubular", () => {
  const bindings = {
    bindings: [
      { label: "foo", prefix: "127.0.0.0/8", port: 0, protocol: "tcp" },
      { label: "bar", prefix: "2001:db8::1", port: 443 },
    ],
  };

  test("port 0 is every port, no protocol is both, a label leads where it is reported", () => {
    const labels = new Map([
      ["foo", "127.0.1.10:80"],
      ["bar", "[fd5e::1]"],
    ]);
    const imported = importTubular(bindings, labels);
    expect(imported.unsaid).toEqual([]);
    const to = [{ address: "fd5e::1", port: "same" }];
    const bar = { ports: [{ first: 443, last: 443 }], on: ["2001:db8::1/128"], to };
    expect(meaning(formatImported(imported))).toMatchObject([
      {
        protocol: "tcp",
        ports: [{ first: 1, last: 65535 }],
        on: ["127.0.0.0/8"],
        to: [{ address: "127.0.1.10", port: 80 }],
      },
      { protocol: "tcp", ...bar },
      { protocol: "udp", ...bar },
    ]);
  });

  test("a label that leads nowhere is reported, and its file is refused until it does", () => {
    const imported = importTubular(bindings, new Map([["foo", "127.0.1.10:80"]]));
    expect(imported.unsaid).toHaveLength(1);
    expect(imported.unsaid[0]).toContain("--label bar=");
    expect(() => meaning(formatImported(imported))).toThrow(
      expect.objectContaining({ code: "CONFIGURATION" }) as Error,
    );
  });

  test.each([
    [7, "it is no object"],
    [{ prefix: "::/0" }, "the label is missing"],
    [{ label: "", prefix: "::/0" }, "not empty"],
    [{ label: "web" }, "the prefix is missing"],
    [{ label: "web", prefix: 4 }, "has to be a text"],
    [{ label: "web", prefix: "10.0.0.1/8" }, "write 10.0.0.0/8 for the network, or 10.0.0.1"],
    [{ label: "web", prefix: "127.1" }, "write all four octets"],
    [{ label: "web", prefix: "::/0", port: 70000 }, "the port is"],
    [{ label: "web", prefix: "::/0", port: "80" }, "write a number"],
    [{ label: "web", prefix: "::/0", protocol: "sctp" }, 'write "tcp" or "udp"'],
    [{ label: "web", prefix: "::/0", cidr: 1 }, 'the key "cidr" is not known'],
  ])("of a binding that is none it says why: %j", (binding, reason) => {
    const { entries, unsaid, left } = importTubular({ bindings: [binding] }, new Map());
    expect(entries).toEqual([]);
    expect(unsaid).toHaveLength(1);
    expect(unsaid[0]).toContain("bindings[0]: ");
    expect(left[0]?.reason).toContain(reason);
  });

  test("what has no bindings is refused", () => {
    expect(() => importTubular({}, new Map())).toThrow('no list "bindings"');
  });
});

const host: Host = {
  addresses: ["203.0.113.1", "203.0.113.2", "2001:db8::1"] as Address[],
  interfaces: [{ name: "eth0", addresses: ["203.0.113.1", "2001:db8::1"] as Address[] }],
  bound: [],
  forwards: [],
  ephemeral: { range: { first: 32768, last: 60999 }, reserved: [] },
};

const chain = (more: object = {}): unknown => ({
  chain: {
    family: "ip",
    table: "nat",
    name: "pre",
    type: "nat",
    hook: "prerouting",
    prio: -100,
    ...more,
  },
});
let handle = 0;
const rule = (expr: readonly unknown[], more: object = {}): unknown => ({
  rule: { family: "ip", table: "nat", chain: "pre", handle: ++handle, expr, ...more },
});
const is = (left: unknown, right: unknown, op = "=="): unknown => ({ match: { op, left, right } });
const dport = (right: unknown, protocol = "tcp", op = "=="): unknown =>
  is({ payload: { protocol, field: "dport" } }, right, op);
const daddr = (right: unknown): unknown =>
  is({ payload: { protocol: "ip", field: "daddr" } }, right);
const saddr = (right: unknown, op = "=="): unknown =>
  is({ payload: { protocol: "ip", field: "saddr" } }, right, op);
const iifname = (right: unknown, op = "=="): unknown => is({ meta: { key: "iifname" } }, right, op);
const to = (port: number): unknown => ({ redirect: { port } });

function imports(items: readonly unknown[], of: Host = host): Imported {
  const sources: NftSources = {
    rulesets: [{ name: "rules", value: { nftables: items } }],
    saved: [],
  };
  return importNft(sources, of);
}

/** What leads somewhere: not what only keeps packets as they are. */
function leading({ entries }: Imported): readonly Readonly<Record<string, unknown>>[] {
  return entries.filter((entry) => entry["existing"] !== "any");
}

describe("nft", () => {
  test("a redirection is reported, and what the host dials itself stays as it is", () => {
    const imported = imports([chain(), rule([dport(80), { counter: null }, to(8080)])]);
    expect(imported.unsaid).toEqual([]);
    expect(meaning(formatImported(imported))).toMatchObject([
      { protocol: "tcp", on: ["0.0.0.0/0"], to: [{ address: "*", port: 8080 }] },
      {
        from: ["127.0.0.0/8", "203.0.113.1/32", "203.0.113.2/32"],
        to: [{ address: "*", port: "same" }],
      },
    ]);
    expect(imported.entries[1]).toMatchObject({ existing: "any", miss: "pass" });
    expect(imported.taken).toHaveLength(1);
    expect(imported.taken[0]?.remove).toMatch(/^nft delete rule ip nat pre handle [0-9]+$/);
    expect(formatImported(imported)).toContain("# tcp dport 80 counter redirect to :8080");
  });

  test("an output chain that redirects what the host dials on itself is reported for that", () => {
    const output = chain({ name: "out", hook: "output" });
    const lo = is({ meta: { key: "oifname" } }, "lo");
    const imported = imports([output, rule([lo, dport(80), to(8080)], { chain: "out" })]);
    expect(imported.unsaid).toEqual([]);
    expect(imported.entries).toMatchObject([
      { from: ["127.0.0.0/8", "203.0.113.1", "203.0.113.2"], to: ["127.0.0.1:8080", "*:8080"] },
    ]);
    const elsewhere = imports([output, rule([dport(80), to(8080)], { chain: "out" })]);
    expect(elsewhere.entries).toEqual([]);
    expect(elsewhere.unsaid[0]).toContain("what this host dials elsewhere");
  });

  test("what earlier rules exempt is left out of ports, sources, addresses and interfaces", () => {
    const { entries, unsaid } = imports([
      chain(),
      rule([dport(81), { accept: null }]),
      rule([saddr({ prefix: { addr: "128.0.0.0", len: 1 } }), { return: null }]),
      rule([daddr("203.0.113.2"), { accept: null }]),
      rule([iifname("eth1"), { return: null }]),
      rule([dport({ range: [80, 82] }), to(8080)]),
    ]);
    expect(unsaid).toEqual([]);
    expect(entries[0]).toMatchObject({ port: [80, 82], from: "0.0.0.0/1", to: "*:8080" });
    expect(JSON.stringify(entries[0])).not.toContain('"203.0.113.2"');
    expect(JSON.stringify(entries[0])).toContain('"203.0.113.3"');
    expect(entries).toContainEqual(
      expect.objectContaining({ interface: "eth1", to: "*", existing: "any", miss: "pass" }),
    );
  });

  test("protocols, families, maps, verdict maps and concatenations are reported", () => {
    const l4 = (right: unknown): unknown => is({ meta: { key: "l4proto" } }, right);
    const inet = { family: "inet" };
    const key = { payload: { protocol: "tcp", field: "dport" } };
    const imported = imports([
      chain(inet),
      chain({ ...inet, name: "sub", hook: undefined, type: undefined, prio: undefined }),
      rule([dport(6000), to(7006)], { ...inet, chain: "sub" }),
      rule([l4({ set: ["tcp", "udp"] }), dport(53, "th"), to(5353)], inet),
      rule(
        [
          {
            vmap: {
              key,
              data: {
                set: [
                  [6000, { jump: { target: "sub" } }],
                  [6001, { accept: null }],
                ],
              },
            },
          },
        ],
        inet,
      ),
      rule(
        [
          l4("tcp"),
          {
            redirect: {
              port: {
                map: {
                  key,
                  data: {
                    set: [
                      [90, 91],
                      [6001, 92],
                    ],
                  },
                },
              },
            },
          },
        ],
        inet,
      ),
      rule(
        [
          is(
            { concat: [{ payload: { protocol: "ip", field: "daddr" } }, key] },
            {
              set: [{ concat: ["203.0.113.1", 97] }],
            },
          ),
          to(98),
        ],
        inet,
      ),
    ]);
    expect(imported.unsaid).toEqual([]);
    const byPort = leading(imported).toSorted((a, b) => Number(a["port"]) - Number(b["port"]));
    expect(byPort).toMatchObject([
      { protocol: ["tcp", "udp"], port: 53, to: "*:5353" },
      { protocol: "tcp", port: 90, to: "*:91" },
      { protocol: "tcp", port: 97, on: "203.0.113.1", to: "*:98" },
      { protocol: "tcp", port: 6000, to: "*:7006" },
    ]);
    meaning(formatImported(imported));
  });

  test.each([
    ["the second gets nothing", [dport(80), to(1)], [daddr("203.0.113.1"), dport(80), to(2)], 1],
    ["a part of it stays", [saddr("198.51.100.7"), dport(80), to(1)], [dport(80), to(2)], 2],
    [
      "fewer ports later",
      [dport({ set: [80, 81] }), to(1)],
      [dport({ range: [81, 82] }), to(2)],
      2,
    ],
  ])("the first rule that matches decides: %s", (_what, one, two, count) => {
    const imported = imports([chain(), rule(one), rule(two)]);
    expect(leading(imported)).toHaveLength(count);
    // A rule that gets nothing would come to life when the one before it goes.
    expect(imported.taken).toHaveLength(2);
    for (const line of imported.unsaid) expect(line).toContain("comes before it");
    meaning(formatImported(imported));
  });

  test("a chain of lower priority comes first, and of two of the same priority the order is unknown", () => {
    const late = chain({ name: "late", prio: 10 });
    const two = [
      rule([dport(80), to(1)], { chain: "late" }),
      rule([daddr("203.0.113.1"), dport(80), to(2)]),
    ];
    expect(leading(imports([late, chain(), ...two]))).toHaveLength(2);
    const same = imports([chain({ name: "late" }), chain(), ...two]);
    expect(same.entries).toEqual([]);
    expect(same.unsaid[0]).toContain("the same priority");
  });

  test.each([
    [
      "an address elsewhere",
      [dport(80), { dnat: { addr: "10.0.0.1" } }],
      "10.0.0.1 is not an address of this host",
    ],
    [
      "an address dialled elsewhere",
      [daddr("10.9.9.9"), dport(80), to(1)],
      "10.9.9.9 is not an address",
    ],
    ["a limit", [dport(80), { limit: {} }, to(1)], "it asks for limit"],
    ["a mark", [is({ meta: { key: "mark" } }, 1), dport(80), to(1)], '"meta mark 1"'],
    [
      "a mark that it sets",
      [dport(80), { mangle: { key: { meta: { key: "mark" } }, value: 1 } }, to(1)],
      "also",
    ],
    ["several ports", [dport(80), { redirect: { port: { range: [1, 2] } } }], "several ports"],
    ["every protocol", [{ dnat: { addr: "203.0.113.1" } }], "more than tcp and udp"],
    ["a pattern", [iifname("eth*"), dport(80), to(1)], "pattern eth*"],
    [
      "what iptables wrote",
      [dport(80), { xt: { type: "target", name: "REDIRECT" } }],
      "iptables-save",
    ],
  ])("left out with its text and the reason: %s", (_what, expr, reason) => {
    const { entries, unsaid, left } = imports([chain(), rule(expr)]);
    expect(entries).toEqual([]);
    expect(unsaid).toHaveLength(1);
    expect(left[0]?.reason).toContain(reason);
    expect(left[0]?.rule).toMatch(/dport|dnat/);
  });

  test("rules that redirect nothing are not told of", () => {
    expect(imports([chain(), rule([dport(80), { accept: null }])])).toMatchObject({
      entries: [],
      unsaid: [],
    });
  });

  test("behind a rule that cannot be judged, nothing that it may have taken is reported", () => {
    const { entries, unsaid } = imports([
      chain(),
      rule([is({ meta: { key: "mark" } }, 1), dport({ range: [80, 89] }), { accept: null }]),
      rule([dport(80), to(1)]),
      rule([dport(90), to(2)]),
    ]);
    expect(entries[0]).toMatchObject({ port: 90 });
    expect(unsaid).toHaveLength(1);
    expect(unsaid[0]).toContain("comes before it");
  });

  test("a rule is left out when one that stays would get its packets, or leads to its port", () => {
    const later = imports([
      chain(),
      rule([dport(80), to(1)]),
      rule([dport({ range: [80, 81] }), { dnat: { addr: "10.0.0.1" } }]),
    ]);
    expect(later.entries).toEqual([]);
    expect(later.unsaid[0]).toContain("once it is removed");
    const leads = imports([
      chain(),
      rule([dport(80), to(1)]),
      rule([dport(81), { limit: {} }, to(80)]),
    ]);
    expect(leads.entries).toEqual([]);
    expect(leads.unsaid[0]).toContain("leads to a port");
  });

  test("a host that forwards keeps a redirection of what it forwards, unless that is not meant", () => {
    const router = { ...host, forwards: [4] as const };
    expect(imports([chain(), rule([dport(80), to(1)])], router).unsaid[0]).toContain(
      "fib daddr type local",
    );
    const local = is({ fib: { result: "type", flags: ["daddr"] } }, "local");
    expect(imports([chain(), rule([local, dport(80), to(1)])], router).unsaid).toEqual([]);
  });

  test("ports of the host's own UDP clients are reported separately", () => {
    const imported = imports([chain(), rule([dport({ range: [30000, 40000] }, "udp"), to(1)])]);
    expect(leading(imported)).toMatchObject([
      { port: "30000-32767", existing: "never" },
      { port: "32768-40000", existing: "exact" },
    ]);
    expect(imported.notes.join()).toContain("ip_local_port_range");
    expect(
      leading(imports([chain(), rule([dport({ range: [30000, 40000] }), to(1)])])),
    ).toHaveLength(1);
  });

  test("a redirection leads to who listens on the address of the interface, before who listens on all", () => {
    const bound = [{ protocol: "tcp" as const, address: "203.0.113.1" as Address, port: 8080 }];
    const imported = imports([chain(), rule([dport(80), to(8080)])], { ...host, bound });
    expect(leading(imported)).toMatchObject([
      { port: 80, to: "*:8080" },
      { port: 80, interface: "eth0", to: ["203.0.113.1:8080", "*:8080"] },
    ]);
    meaning(formatImported(imported));
  });

  test("named sets are read, unless they change", () => {
    const set = (more: object): unknown => ({
      set: {
        family: "ip",
        table: "nat",
        name: "s",
        type: "inet_service",
        elem: [80, { range: [90, 99] }],
        ...more,
      },
    });
    expect(leading(imports([chain(), set({}), rule([dport("@s"), to(1)])]))).toMatchObject([
      { port: [80, "90-99"] },
    ]);
    expect(
      imports([chain(), set({ flags: ["dynamic"] }), rule([dport("@s"), to(1)])]).entries,
    ).toEqual([]);
  });

  test("what is no ruleset is refused with what would be right", () => {
    expect(() => importNft({ rulesets: [{ name: "rules", value: [] }], saved: [] }, host)).toThrow(
      'rules has no list "nftables"',
    );
  });
});

describe("iptables", () => {
  const save = (...lines: readonly string[]): NftSources => ({
    rulesets: [],
    saved: [
      {
        name: "saved",
        text: [
          "*nat",
          ":PREROUTING ACCEPT [0:0]",
          ":OUTPUT ACCEPT",
          ":DOCKER -",
          ...lines,
          "COMMIT",
          "",
        ].join("\n"),
      },
    ],
  });

  test("redirections are reported, with the command that removes each", () => {
    const imported = importNft(
      save(
        '-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -m comment --comment "a \\"b\\"" -j REDIRECT --to-ports 8080',
        "[1:2] -A PREROUTING -p udp -m multiport --dports 53,100:110 -j DNAT --to-destination 203.0.113.1:5353",
      ),
      host,
    );
    expect(imported.unsaid).toEqual([]);
    expect(leading(imported)).toMatchObject([
      { protocol: "udp", port: [53, "100-110"], to: ["203.0.113.1:5353", "*:5353"] },
      { protocol: "tcp", port: 80, interface: "eth0", to: "*:8080" },
    ]);
    expect(imported.taken.map(({ remove }) => remove)).toEqual([
      'iptables -t nat -D PREROUTING -i eth0 -p tcp -m tcp --dport 80 -m comment --comment "a \\"b\\"" -j REDIRECT --to-ports 8080',
      "iptables -t nat -D PREROUTING -p udp -m multiport --dports 53,100:110 -j DNAT --to-destination 203.0.113.1:5353",
    ]);
  });

  test("what docker publishes stays with docker, and its ports belong to nothing else", () => {
    const { entries, unsaid } = importNft(
      save(
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-A PREROUTING -p tcp -m tcp --dport 8079:8081 -j REDIRECT --to-ports 9000",
        "-A DOCKER -i docker0 -j RETURN",
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
      ),
      host,
    );
    expect(unsaid).toHaveLength(1);
    expect(unsaid[0]).toContain("172.17.0.2 is not an address of this host");
    expect(entries).toContainEqual(expect.objectContaining({ port: [8079, 8081], to: "*:9000" }));
    expect(entries).toContainEqual(
      expect.objectContaining({ port: 8080, interface: "docker0", to: "*:9000" }),
    );
    expect(entries).not.toContainEqual(expect.objectContaining({ port: "8079-8081" }));
  });

  test("what iptables shows replaces what nft shows of the same table", () => {
    const sources = save("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080");
    const value = {
      nftables: [
        chain({ name: "PREROUTING" }),
        rule([dport(80), { xt: null }], { chain: "PREROUTING" }),
      ],
    };
    const { unsaid, taken } = importNft({ ...sources, rulesets: [{ name: "rules", value }] }, host);
    expect(unsaid).toEqual([]);
    expect(taken).toHaveLength(1);
  });

  test("a table of iptables into which another program wrote is not judged by what iptables says of it", () => {
    const sources = save("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080");
    const items = [
      chain({ name: "PREROUTING" }),
      chain({ name: "mine", prio: -110 }),
      rule([dport(80), { accept: null }], { chain: "mine" }),
      rule([dport(80), { xt: null }], { chain: "PREROUTING" }),
    ];
    const value = { nftables: items };
    const { entries, unsaid } = importNft(
      { ...sources, rulesets: [{ name: "rules", value }] },
      host,
    );
    expect(entries).toEqual([]);
    expect(unsaid[0]).toContain("only iptables can show");
  });

  test("tables of the old interface are beside those of nftables", () => {
    const [saved] = save(
      "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080",
    ).saved;
    const text = `# Generated by iptables-save v1.8.9 on Mon\n${saved!.text}`;
    const value = {
      nftables: [
        chain({ name: "PREROUTING", prio: -200 }),
        rule([dport(80), to(9)], { chain: "PREROUTING" }),
      ],
    };
    const { taken, unsaid } = importNft(
      {
        rulesets: [{ name: "rules", value }],
        saved: [{ name: "saved", text, variant: "-legacy" }],
      },
      host,
    );
    expect(taken.map(({ remove }) => remove)).toEqual([
      expect.stringContaining("nft delete rule ip nat PREROUTING"),
      expect.stringContaining("iptables-legacy -t nat -D PREROUTING"),
    ]);
    expect(unsaid[0]).toContain("iptables-legacy -t nat -A PREROUTING");
  });

  test.each([
    ["-A NOWHERE -j REDIRECT", "the chain NOWHERE is not declared"],
    ["nonsense", "is no rule"],
    ['-A PREROUTING -m comment --comment "open -j REDIRECT', "a quote is not closed"],
  ])("a line that is none is refused with its number: %s", (line, message) => {
    expect(() => importNft(save(line), host)).toThrow(
      `saved:5: ${message === "is no rule" ? '"nonsense" is no rule' : message}`,
    );
  });
});
