/** Redirections of nftables, taken over: the same dials are answered by the same daemons before and after. */
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
