/** Rules of others, taken over: the same dials are answered by the same daemons. */
import { afterEach, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";

const network = useNetwork();

afterEach(async () => {
  await network.server.must(["nft", "flush", "ruleset"]);
  await network.server.reset();
});

const ruleset = `table ip nat {
  chain pre {
    type nat hook prerouting priority dstnat;
    tcp dport 6000 redirect to :7000
    ip daddr 203.0.113.5 tcp dport { 6001, 6003-6004 } counter redirect to :7001
    ip saddr 203.0.113.100 iifname "up0" udp dport 6000 redirect to :7002
    ip daddr 203.0.113.1 tcp dport 6005 dnat to 192.0.2.9:80
  }
}
`;
const dials = [
  ["tcp", "203.0.113.1", 6000],
  ["tcp", "203.0.113.5", 6001],
  ["tcp", "203.0.113.5", 6003],
  ["tcp", "203.0.113.1", 6001],
  ["tcp", "203.0.113.5", 6002],
  ["udp", "203.0.113.1", 6000],
] as const;

test("nftables' redirections are imported, applied, and answer as before", async () => {
  const { server, client } = network;
  await server.echo("first", [["tcp", "0.0.0.0", 7000]]);
  await server.echo("second", [["tcp", "0.0.0.0", 7001]]);
  await server.echo("third", [["udp", "0.0.0.0", 7002]]);
  const ask = async (): Promise<string[]> => {
    const answers: string[] = [];
    for (const [protocol, address, port] of dials) {
      const dial = await client.dial(protocol, address, port);
      answers.push("tag" in dial ? dial.tag : "refused");
    }
    return answers;
  };
  await server.must(["nft", "-f", server.file(ruleset, "rules.nft")]);
  const before = await ask();
  expect(before).toEqual(["first", "second", "second", "refused", "refused", "third"]);

  const imported = await server.ilm(["import", "nft"]);
  expect(imported.status).toBe(1);
  expect(imported.stderr).toContain("192.0.2.9 is not an address of this host");
  expect(imported.stderr).toMatch(
    /nft delete rule ip nat pre handle [0-9]+ {3}# tcp dport 6000 redirect to :7000/,
  );
  await server.must(["nft", "flush", "ruleset"]);
  expect(await ask()).toEqual(dials.map(() => "refused"));
  await server.apply(imported.stdout);
  expect(await ask()).toEqual(before);
});

test("rules of iptables are imported from the host and from files; docker's stay, and so does what the host dials itself", async () => {
  const { server, client } = network;
  const rules = `*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -s 203.0.113.99/32 -j RETURN
-A PREROUTING -p tcp -m multiport --dports 6100,6101 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 7100
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 6101 -j DNAT --to-destination 172.17.0.2:80
COMMIT
`;
  await server.must(["iptables-nft-restore"], { input: rules });
  await server.echo("redirected", [["tcp", "0.0.0.0", 7100]]);
  await server.echo("not redirected", [["tcp", "127.0.0.1", 6100]]);
  const imported = await server.ilm(["import", "nft"]);
  expect(imported.status).toBe(1);
  expect(imported.stderr).toContain("172.17.0.2 is not an address of this host");
  expect(imported.stderr.match(/left out/g)).toHaveLength(1);
  const [removal = ""] =
    /iptables -t nat -D PREROUTING .*--to-ports 7100/.exec(imported.stderr) ?? [];
  const saved = server.file(await server.must(["iptables-nft-save"]), "iptables.txt");
  const ruleset = server.file(await server.must(["nft", "-j", "list", "ruleset"]), "rules.json");
  expect((await server.ilm(["import", "nft", ruleset, saved])).stdout).toBe(imported.stdout);
  const alone = await server.ilm(["import", "nft", ruleset]);
  expect(alone.stderr).toContain("give what iptables-save");
  expect(alone.stdout).toBe("version: 1\nmappings: []\n");

  const ask = async (): Promise<string[]> => [
    await client.who("tcp", "203.0.113.1", 6100),
    await server.who("tcp", "127.0.0.1", 6100),
    await server.who("tcp", "203.0.113.1", 6100),
  ];
  const before = await ask();
  expect(before).toEqual(["redirected", "not redirected", "ECONNREFUSED"]);
  await server.apply(imported.stdout);
  expect(await ask()).toEqual(before);
  await server.must(["sh", "-c", removal.replace("iptables", "iptables-nft")]);
  expect(await ask()).toEqual(before);
  await server.must(["nft", "flush", "ruleset"]);
});

test("a redirection of ports that the host's own UDP clients have leaves them their answers", async () => {
  const { server, client } = network;
  await client.echo("peer", [["udp", "203.0.113.100", 6900]]);
  await server.echo("wide", [["udp", "0.0.0.0", 7200]]);
  const rules = `table ip nat { chain pre { type nat hook prerouting priority dstnat;
    udp dport 30000-61000 redirect to :7200
  }
}
`;
  const asks = async (): Promise<string> => {
    const dial = await server.dial("udp", "203.0.113.100", 6900, {
      connected: false,
      timeout_s: 5,
    });
    return dial.answered ? dial.tag : dial.errno;
  };
  await server.must(["nft", "-f", "-"], { input: rules });
  expect(await asks()).toBe("peer");
  const imported = await server.ilm(["import", "nft"]);
  expect(imported.stderr).toContain("net.ipv4.ip_local_port_range");
  await server.apply(imported.stdout);
  await server.must(["nft", "flush", "ruleset"]);
  expect(await asks()).toBe("peer");
  expect(await client.who("udp", "203.0.113.1", 40000)).toBe("wide");
  expect(await client.who("udp", "203.0.113.1", 30000)).toBe("wide");
});

test("what is no ruleset is refused with what would be right", async () => {
  const { server } = network;
  for (const [text, message] of [
    ["hello", "is not JSON, and not what iptables-save prints"],
    ["{}", 'has no list "nftables"'],
    ["*nat\n-A PREROUTING -j ACCEPT\n", ":2: the chain PREROUTING is not declared"],
  ] as const) {
    const result = await server.ask(["import", "nft", server.file(text, "rules.txt")]);
    expect(result.status).toBe(2);
    expect(result.text).toContain(message);
    expect(result.text).toMatch(/nft -j list ruleset|iptables-save/);
  }
});

const bindings = {
  bindings: [
    { label: "web", protocol: "tcp", prefix: "203.0.113.0/24", port: 6000 },
    { label: "Every Port", protocol: "tcp", prefix: "203.0.113.1/32", port: 0 },
    { label: "web", protocol: "tcp", prefix: "2001:db8::/64", port: 6000 },
    { label: "names", protocol: "udp", prefix: "203.0.113.0/24", port: 6053 },
  ],
};

test("tubular's bindings are imported, applied, and lead where their labels are meant to", async () => {
  const { server, client } = network;
  await server.must(["ip", "addr", "add", "fd5e:ed00::10/128", "dev", "lo", "nodad"]);
  await server.echo("web", [
    ["tcp", "127.0.1.10", 6000],
    ["tcp", "fd5e:ed00::10", 6000],
  ]);
  await server.echo("every port", [["tcp", "127.0.1.11", 7777]]);
  await server.echo("names", [["udp", "127.0.1.12", 6053]]);
  const file = server.file(JSON.stringify(bindings), "bindings.json");
  const imported = await server.ilm([
    "import",
    "tubular",
    file,
    "--label",
    "Every Port=127.0.1.11:7777",
    "--label",
    "names=127.0.1.12",
  ]);
  expect(imported.status).toBe(1);
  expect(imported.stderr).toContain("define the service label-web");
  const services = `services:\n  label-web: { address: [127.0.1.10, "fd5e:ed00::10"] }\n`;
  await server.apply(imported.stdout + services);
  for (const [protocol, address, port, tag] of [
    // A longer prefix comes before a port.
    ["tcp", "203.0.113.1", 6000, "every port"],
    ["tcp", "203.0.113.1", 6001, "every port"],
    ["tcp", "203.0.113.5", 6000, "web"],
    ["tcp", "203.0.113.5", 6001, null],
    ["tcp", "2001:db8::1", 6000, "web"],
    ["udp", "203.0.113.1", 6053, "names"],
    ["tcp", "203.0.113.5", 6053, null],
  ] as const) {
    const dial = await client.dial(protocol, address, port);
    expect("tag" in dial ? dial.tag : null, `${protocol} ${address} ${port}`).toBe(tag);
  }
});
