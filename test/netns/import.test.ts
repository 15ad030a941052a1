/** What others were told, taken over: the same dials are answered by the same daemons. */
import { expect, test } from "vitest";
import { useNetwork } from "../support/network.js";

const network = useNetwork();

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
  await server.must(["nft", "flush", "ruleset"]);
  expect(await ask()).toEqual(dials.map(() => "refused"));
  await server.apply(imported.stdout);
  expect(await ask()).toEqual(before);
});

const bindings = {
  bindings: [
    { label: "web", protocol: "tcp", prefix: "203.0.113.0/24", port: 6000 },
    { label: "Every Port", protocol: "tcp", prefix: "203.0.113.1/32", port: 0 },
    { label: "web", protocol: "tcp", prefix: "2001:db8::/64", port: 6000 },
    { label: "names", protocol: "udp", prefix: "203.0.113.0/24", port: 6053 },
  ],
};

test("tubular's bindings are imported, applied, and lead where their labels are said to", async () => {
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
