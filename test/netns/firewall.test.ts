/**
 * What `explain` says of a firewall, held against a real packet: whether it came, and which rule
 * nft's own trace names.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { explain as ask, type Explained } from "../support/explain.js";
import { type Lab, useLab } from "../support/lab.js";
import { addressesOf, endpoint, families, protocols, type Protocol } from "../support/matrix.js";
import { nft, removeRules } from "../support/neighbours.js";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";

const network = useNetwork();

const rules = `
version: 1
services:
  app: { address: [127.0.1.10, "fd5e:ed00::10"] }
mappings:
  - { name: app, protocol: [tcp, udp], port: 6000, to: app }
`;

let lab: Lab;
useLab(network, (started) => {
  lab = started;
});

beforeAll(async () => {
  await network.server.apply(rules);
});

afterEach(async () => {
  await removeRules(network.server);
});

afterAll(async () => {
  await network.server.stopStarted();
});

interface Case {
  readonly what: string;
  /** The table; default: `inet host`. */
  readonly table?: string;
  /** Its chains. */
  readonly chains: string;
  /** What is said of a packet to port 6000, from outside and of the machine's own. */
  readonly outside: "blocked" | "may" | "selected";
  readonly itself: "blocked" | "may" | "selected";
  /** The packet has the mark 7 where it is asked for, and its source is in the set. */
  readonly reaches?: { readonly outside: boolean; readonly itself: boolean };
}

/** Neighbours have to find each other over IPv6. */
const input = (body: string, policy = "accept"): string =>
  `chain in { type filter hook input priority filter; policy ${policy}; meta l4proto ipv6-icmp accept; ${body}; }`;
const prerouting = (body: string): string =>
  `chain pre { type filter hook prerouting priority mangle; ${body}; }`;

const cases: readonly Case[] = [
  {
    what: "no rule is about it",
    chains: input("tcp dport 22 drop; udp dport 53 drop"),
    outside: "selected",
    itself: "selected",
  },
  {
    what: "a policy drops it",
    chains: input("iif lo accept; tcp dport 22 accept", "drop"),
    outside: "blocked",
    itself: "selected",
  },
  {
    what: "a rule drops it",
    chains: input("meta l4proto { tcp, udp } th dport 5000-7000 drop"),
    outside: "blocked",
    itself: "blocked",
  },
  {
    what: "a rule rejects it",
    chains: input('iifname != "lo" meta l4proto { tcp, udp } th dport { 6000, 6001 } reject'),
    outside: "blocked",
    itself: "selected",
  },
  {
    what: "an earlier rule accepts it",
    chains: input("ct state established accept; th dport 6000 accept; drop"),
    outside: "selected",
    itself: "selected",
  },
  {
    what: "a chain that is jumped to drops it",
    chains: `chain deny { th dport 6000 drop; } ${input("jump deny; accept")}`,
    outside: "blocked",
    itself: "blocked",
  },
  {
    what: "a chain that is jumped to returns it",
    chains: `chain deny { th dport 6000 return; drop; } ${input("iif lo accept; jump deny")}`,
    outside: "selected",
    itself: "selected",
  },
  {
    what: "a chain that it goes to ends",
    chains: `chain deny { th dport 22 drop; } ${input("goto deny; accept", "drop")}`,
    outside: "blocked",
    itself: "blocked",
  },
  {
    what: "a verdict map drops it",
    chains: input("th dport vmap { 6000 : drop, 22 : accept }"),
    outside: "blocked",
    itself: "blocked",
  },
  {
    what: "states of conntrack decide, of which it is new",
    chains: input(
      "ct state vmap { established : accept, invalid : drop }; ct state new th dport 6000 accept",
      "drop",
    ),
    outside: "selected",
    itself: "selected",
  },
  {
    what: "only what is established is let in",
    chains: input("ct state established,related accept; iif lo accept", "drop"),
    outside: "blocked",
    itself: "selected",
  },
  {
    what: "a named set has its port",
    chains: `set ports { type inet_service; flags interval; elements = { 5990-6010 } } ${input("th dport @ports drop")}`,
    outside: "blocked",
    itself: "blocked",
  },
  {
    what: "a set that changes has its source",
    chains: `set bad { type ipv4_addr; flags dynamic, timeout; timeout 1m; elements = { 203.0.113.100 } } set bad6 { type ipv6_addr; flags dynamic, timeout; timeout 1m; elements = { 2001:db8::100 } } ${input("ip saddr @bad drop; ip6 saddr @bad6 drop")}`,
    outside: "may",
    itself: "may",
    reaches: { outside: false, itself: true },
  },
  {
    what: "a mark that it has is asked for",
    chains: `${prerouting('iifname "up0" meta mark set 7')} ${input("meta mark 7 drop")}`,
    outside: "may",
    itself: "may",
    reaches: { outside: false, itself: true },
  },
  {
    what: "a mark that it lacks is asked for",
    chains: input("meta mark 7 accept; iif lo accept; drop"),
    outside: "may",
    itself: "selected",
    reaches: { outside: false, itself: true },
  },
  {
    what: "a limit lets it in",
    chains: input("ct state established accept; th dport 6000 limit rate 100/second accept; drop"),
    outside: "may",
    itself: "may",
  },
  {
    what: "it is dropped before routing",
    chains: prerouting('iifname "up*" th dport 6000 drop'),
    outside: "blocked",
    itself: "selected",
  },
  {
    what: "it is dropped where it leaves",
    chains: "chain out { type filter hook output priority filter; th dport 6000 drop; }",
    outside: "selected",
    itself: "blocked",
  },
  {
    what: "it is dropped if its mark says so, and by the policy if not",
    chains: input("meta mark 7 drop; iif lo accept", "drop"),
    outside: "blocked",
    itself: "may",
    reaches: { outside: false, itself: true },
  },
  {
    what: "it is dropped at ingress of its interface",
    table: "netdev host",
    chains:
      "chain early { type filter hook ingress device up0 priority 0; meta l4proto { tcp, udp } th dport 6000 drop; }",
    outside: "blocked",
    itself: "selected",
  },
  {
    what: "the policy at ingress drops it",
    chains:
      "chain early { type filter hook ingress device up0 priority 0; policy drop; meta l4proto ipv6-icmp accept; th dport 22 accept; }",
    outside: "blocked",
    itself: "selected",
  },
  {
    what: "NAT leads it to another port",
    chains:
      "chain nat { type nat hook prerouting priority dstnat; meta l4proto { tcp, udp } th dport 6000 redirect to :6001; }",
    outside: "blocked",
    itself: "selected",
  },
];

const explain = async (protocol: Protocol, address: string, from: string): Promise<Explained> =>
  await ask(network.server, protocol, address, 6000, "--from", endpoint(from, 5555));

function said({ verdict, obstacles }: Explained): string {
  return verdict === "selected" && obstacles.length > 0 ? "may" : verdict;
}

for (const protocol of protocols) {
  for (const family of families) {
    const cell = addressesOf[family];
    describe(`${protocol} over ${cell.label}`, () => {
      test.each(cases)(
        "$what",
        async ({ table = "inet host", chains, outside, itself, reaches }) => {
          const { server, client } = network;
          await lab.open("app", protocol, cell.daemon, 6000);
          // Behind NAT ingress does not do: then sk_lookup has the socket.
          await server.ask(["apply", "-f", server.file(rules)]);
          await nft(
            server,
            `table ${table} {\n${chains.replaceAll(/\} (?=chain|set)/g, "}\n")}\n}\n`,
          );
          await server.ask(["apply", "-f", server.file(rules)]);
          const found = await explain(protocol, cell.public, cell.client);
          const own = await explain(protocol, cell.public, cell.public);
          expect(
            [said(found), said(own)],
            JSON.stringify([found.obstacles, own.obstacles]),
          ).toEqual([outside, itself]);
          const options = { timeout_s: 0.3 };
          const came = {
            outside: (await client.who(protocol, cell.public, 6000, options)) === "app",
            itself: (await server.who(protocol, cell.public, 6000, options)) === "app",
          };
          expect(came).toEqual(
            reaches ?? { outside: outside !== "blocked", itself: itself !== "blocked" },
          );
        },
      );
    });
  }
}

describe("nft's own trace of the packet", () => {
  for (const family of families) {
    const cell = addressesOf[family];
    test(`names the rule that explain names, and the remedy lets the packet in, ${cell.label}`, async () => {
      const { server, client } = network;
      await lab.open("app", "tcp", cell.daemon, 6000);
      await nft(
        server,
        `table inet host {
  chain deny { tcp dport 6000-6010 drop; }
  chain in { type filter hook input priority filter; policy drop; meta l4proto ipv6-icmp accept; iif lo accept; jump deny; }
  chain trace { type filter hook prerouting priority raw; tcp dport 6000 meta nftrace set 1; }
}
`,
      );
      const monitor = server.start(["nft", "monitor", "trace"]);
      const { obstacles } = await explain("tcp", cell.public, cell.client);
      expect(obstacles).toMatchObject([{ sure: true }]);
      const trace = await eventually("the trace has come", async () => {
        await client.who("tcp", cell.public, 6000, { timeout_s: 0.2 });
        return /host deny rule (.*) \(verdict drop\)/.exec(monitor.stdout);
      });
      expect(obstacles[0]?.message).toContain(`"${trace[1] ?? "?"}" (inet host deny handle`);
      const [, command = ""] = /: (nft .*)$/.exec(obstacles[0]?.remedy ?? "") ?? [];
      await server.must(["sh", "-c", command]);
      expect((await explain("tcp", cell.public, cell.client)).verdict).toBe("selected");
      expect(await client.who("tcp", cell.public, 6000)).toBe("app");
      await monitor.stop();
    });
  }
});

test("doctor, monitor and the counters of mappings say what is in the way of a mapping, with the remedy of whose rules they are", async () => {
  const { server } = network;
  await nft(server, `table inet host {\n${input("iif lo accept", "drop")}\n}\n`);
  const doctor = (await server.ask(["doctor"])).text;
  expect(doctor).toMatch(
    /in the way: of app, such as tcp 203\.0\.113\.1:6000: the policy of the chain inet host in drops it/,
  );
  const monitor = await server.ask(["monitor", "--seconds", "0.1"]);
  expect(monitor.stderr).toMatch(
    /in the way of app: the policy of the chain inet host in drops it/,
  );
  const counters = await server.ask(["mappings"]);
  expect(counters.stderr).toMatch(
    /in the way of app: the policy of the chain inet host in drops it/,
  );
  const shapes = JSON.parse((await server.ask(["mappings", "--json"])).stdout) as readonly {
    readonly obstacles: readonly object[];
  }[];
  expect(shapes.map(({ obstacles }) => obstacles)).toMatchObject(
    shapes.map(() => [{ kind: "firewall", sure: true }]),
  );
  await removeRules(server);
  expect((await server.ask(["mappings"])).stderr).toBe("");
  for (const program of ["iptables", "ip6tables"]) {
    await server.must([program, "-P", "INPUT", "DROP"]);
  }
  const { obstacles } = await explain("tcp", "203.0.113.1", "203.0.113.100");
  expect(obstacles).toMatchObject([
    {
      sure: true,
      remedy: expect.stringContaining("iptables -I INPUT -p tcp --dport 6000 -j ACCEPT") as string,
    },
  ]);
  await server.must([
    "iptables",
    "-I",
    "INPUT",
    "-p",
    "tcp",
    "--dport",
    "6000",
    "-m",
    "comment",
    "--comment",
    "for app",
    "-j",
    "ACCEPT",
  ]);
  expect((await explain("tcp", "203.0.113.1", "203.0.113.100")).obstacles).toEqual([]);
});

describe("what is to be done about a rule of iptables is done by the program that wrote it", () => {
  afterEach(async () => {
    for (const program of ["iptables-legacy", "ip6tables-legacy"]) {
      for (const table of ["filter", "mangle"]) {
        await network.server.must([program, "-t", table, "-F"]);
        await network.server.must([program, "-t", table, "-P", "INPUT", "ACCEPT"]);
      }
    }
  });

  const rest = ["-p", "tcp", "--dport", "6000", "-j", "DROP"];
  for (const program of ["iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy"]) {
    for (const { what, words } of [
      { what: "a rule", words: ["-A", "INPUT", ...rest] },
      { what: "a rule of another table", words: ["-t", "mangle", "-A", "INPUT", ...rest] },
      { what: "a policy", words: ["-P", "INPUT", "DROP"] },
    ]) {
      test(`${program}, ${what}`, async () => {
        const { server, client } = network;
        const six = program.startsWith("ip6");
        const { public: dialled } = addressesOf[six ? 6 : 4];
        if (what === "a policy" && six) {
          await server.must([program, "-A", "INPUT", "-p", "ipv6-icmp", "-j", "ACCEPT"]);
        }
        await server.must([program, ...words]);
        const from = six ? "2001:db8::100" : "203.0.113.100";
        const [obstacle, ...others] = (await explain("tcp", dialled, from)).obstacles;
        expect(others).toEqual([]);
        expect(obstacle).toMatchObject({ kind: "firewall", sure: true });
        const { remedy } = obstacle as { readonly remedy: string };
        const way = remedy.replace("Accept it first: ", "");
        expect(way).toMatch(new RegExp(`^${program} `));
        await server.must(way.split(" "));
        expect((await explain("tcp", dialled, from)).obstacles).toEqual([]);
        const daemon = await server.echo("app", [["tcp", addressesOf[six ? 6 : 4].daemon, 6000]]);
        expect(await client.who("tcp", dialled, 6000)).toBe("app");
        await daemon.stop();
      });
    }
  }
});
