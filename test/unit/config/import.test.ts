/** What others have, as our configuration: read back by our own parser. */
import { describe, expect, test } from "vitest";
import { formatImported } from "../../../src/config/imported.js";
import { importNft } from "../../../src/config/import-nft.js";
import { importTubular } from "../../../src/config/import-tubular.js";
import { parseConfiguration } from "../../../src/config/load.js";

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

  test("port 0 is every port, no protocol is both, a label leads where it is told", () => {
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

  test("a label that leads nowhere is told, and its file is refused until it does", () => {
    const imported = importTubular(bindings, new Map([["foo", "127.0.1.10:80"]]));
    expect(imported.unsaid).toHaveLength(1);
    expect(imported.unsaid[0]).toContain("--label bar=");
    expect(() => meaning(formatImported(imported))).toThrow(
      expect.objectContaining({ code: "CONFIGURATION" }) as Error,
    );
  });

  test("what is no binding is told", () => {
    const { entries, unsaid } = importTubular({ bindings: [{ label: "foo" }, 7] }, new Map());
    expect(entries).toEqual([]);
    expect(unsaid).toHaveLength(2);
  });
});

const chain = {
  chain: { family: "ip", table: "nat", name: "pre", type: "nat", hook: "prerouting" },
};
const rule = (expr: readonly unknown[], name = "pre"): unknown => ({
  rule: { family: "ip", table: "nat", chain: name, handle: 1, expr },
});
const dport = (right: unknown, protocol = "tcp"): unknown => ({
  match: { op: "==", left: { payload: { protocol, field: "dport" } }, right },
});
const local = (address: string): boolean => address.startsWith("127.");

describe("nft", () => {
  test("redirections, addresses, sources and interfaces are said", () => {
    const imported = importNft(
      {
        nftables: [
          chain,
          rule([dport(80), { counter: { packets: 1, bytes: 2 } }, { redirect: { port: 8080 } }]),
          rule([
            { match: { op: "==", left: { meta: { key: "iifname" } }, right: "eth0" } },
            {
              match: {
                op: "==",
                left: { payload: { protocol: "ip", field: "daddr" } },
                right: { prefix: { addr: "203.0.113.0", len: 24 } },
              },
            },
            {
              match: {
                op: "==",
                left: { payload: { protocol: "ip", field: "saddr" } },
                right: "198.51.100.7",
              },
            },
            dport({ set: [53, { range: [5000, 5009] }] }, "udp"),
            { dnat: { addr: "127.0.1.10", port: 53 } },
          ]),
        ],
      },
      local,
    );
    expect(imported.unsaid).toEqual([]);
    expect(meaning(formatImported(imported))).toMatchObject([
      { protocol: "tcp", on: ["0.0.0.0/0"], to: [{ address: "*", port: 8080 }] },
      {
        protocol: "udp",
        ports: [
          { first: 53, last: 53 },
          { first: 5000, last: 5009 },
        ],
        on: ["203.0.113.0/24"],
        from: ["198.51.100.7/32"],
        interfaces: ["eth0"],
        to: [{ address: "127.0.1.10", port: 53 }],
      },
    ]);
  });

  const match = (field: string, right: unknown): unknown => ({
    match: { op: "==", left: { payload: { protocol: "ip", field } }, right },
  });
  const daddr = (right: unknown): unknown => match("daddr", right);
  const saddr = (right: unknown): unknown => match("saddr", right);
  const to = (port: number): unknown => ({ redirect: { port } });

  test.each([
    [
      "the second is dead in nftables",
      [dport(80), to(1)],
      [daddr("203.0.113.1"), dport(80), to(2)],
      1,
    ],
    ["the same again", [dport(80), to(1)], [dport(80), to(2)], 1],
    ["fewer ports later", [dport({ set: [80, 81] }), to(1)], [dport(81), to(2)], 1],
    ["a source later", [dport(80), to(1)], [saddr("198.51.100.7"), dport(80), to(2)], 1],
    [
      "the more specific one first",
      [daddr("203.0.113.1"), dport(80), to(2)],
      [dport(80), to(1)],
      2,
    ],
    ["other ports", [dport(80), to(1)], [daddr("203.0.113.1"), dport(81), to(2)], 2],
    ["other protocols", [dport(80), to(1)], [daddr("203.0.113.1"), dport(80, "udp"), to(2)], 2],
    [
      "other addresses",
      [daddr("203.0.113.1"), dport(80), to(1)],
      [daddr("203.0.113.2"), dport(80), to(2)],
      2,
    ],
    [
      "other sources",
      [saddr("198.51.100.7"), dport(80), to(1)],
      [saddr("198.51.100.8"), daddr("203.0.113.2"), dport(80), to(2)],
      2,
    ],
  ])(
    "of two rules in their order, as the first that matches decides: %s",
    (_what, one, two, count) => {
      const { entries, unsaid } = importNft({ nftables: [chain, rule(one), rule(two)] }, local);
      expect(entries).toHaveLength(count);
      expect(unsaid).toHaveLength(2 - count);
      for (const line of unsaid) expect(line).toContain("comes before it");
      // What is said can be put in force.
      expect(meaning(formatImported({ entries, unsaid }))).toHaveLength(count);
    },
  );

  test("a chain of lower priority comes first, wherever it stands", () => {
    const late = { chain: { ...chain.chain, name: "late", prio: 10 } };
    const inLate = rule([dport(80), to(1)], "late");
    const { entries } = importNft(
      { nftables: [late, chain, inLate, rule([daddr("203.0.113.1"), dport(80), to(2)])] },
      local,
    );
    expect(entries).toHaveLength(2);
  });

  test.each([
    ["an address elsewhere", [dport(80), { dnat: { addr: "10.0.0.1" } }]],
    ["a statement that no mapping has", [dport(80), { limit: {} }, { redirect: { port: 1 } }]],
    [
      "a negation",
      [
        { match: { op: "!=", left: { payload: { protocol: "tcp", field: "dport" } }, right: 1 } },
        { redirect: { port: 1 } },
      ],
    ],
    ["no port", [{ redirect: { port: 1 } }]],
    ["no redirection", [{ accept: null }]],
  ])("listed as not said: %s", (_what, expr) => {
    const { entries, unsaid } = importNft({ nftables: [chain, rule(expr)] }, local);
    expect(entries).toEqual([]);
    expect(unsaid).toHaveLength(1);
  });
});
