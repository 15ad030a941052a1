/**
 * Mappings for some connections only (`from`, `interface`), and shares of clients (`weight`): with
 * packets, end to end.
 */
import { afterEach, expect, test } from "vitest";
import { useNetwork } from "../support/network.js";
import { eventually } from "../support/process.js";

const network = useNetwork();
const dialled = "203.0.113.5";

afterEach(async () => {
  await network.server.stopDaemons();
});

for (const protocol of ["tcp", "udp"] as const) {
  test(`${protocol}: a connection from elsewhere passes a mapping over for the next best`, async () => {
    const { server, client } = network;
    await server.echo("near", [[protocol, "127.0.1.1", 6000]]);
    await server.echo("far", [[protocol, "127.0.1.2", 6000]]);
    for (const [source, tag] of [
      ["203.0.113.100", "near"],
      ["203.0.113.0/25", "near"],
      ["203.0.113.101", "far"],
      ["2001:db8::/32", "far"],
    ] as const) {
      await server.apply(`version: 1
mappings:
  - { protocol: ${protocol}, port: 6000, from: "${source}", to: ["127.0.1.1", "*:1"] }
  - { protocol: ${protocol}, port: 6000, to: 127.0.1.2 }
`);
      expect(await client.who(protocol, dialled, 6000), source).toBe(tag);
    }
  });

  test(`${protocol}: a mapping is for the interface that it names, and begins to match when that comes`, async () => {
    const { server, client } = network;
    await server.echo("named", [[protocol, "127.0.1.1", 6000]]);
    await server.echo("rest", [[protocol, "127.0.1.2", 6000]]);
    const file = server.file(`version: 1
mappings:
  - { protocol: ${protocol}, port: 6000, interface: late0, to: 127.0.1.1 }
  - { protocol: ${protocol}, port: 6000, to: 127.0.1.2 }
`);
    const applied = await server.ilmDone(["apply", "-f", file]);
    expect(applied.text).toContain("there is no interface late0");
    const run = await server.startRun(["-f", file]);
    expect(await client.who(protocol, dialled, 6000)).toBe("rest");
    const reaches = async (tag: string): Promise<true | null> => {
      const dial = await client.dial(protocol, dialled, 6000);
      return "tag" in dial && dial.tag === tag ? true : null;
    };
    const rename = async (from: string, to: string): Promise<void> => {
      await server.must(["ip", "link", "set", from, "down"]);
      await server.must(["ip", "link", "set", from, "name", to]);
      await server.must(["ip", "link", "set", to, "up"]);
    };
    await rename("up0", "late0");
    try {
      await eventually("the named interface matches", async () => await reaches("named"));
    } finally {
      await rename("late0", "up0");
    }
    await eventually("it matches no more", async () => await reaches("rest"));
    await run.stop();
  });

  test(`${protocol}: clients fall to destinations by weight, and when one goes only its own move`, async () => {
    const { server, client } = network;
    await server.echo("one", [[protocol, "127.0.1.1", 6000]]);
    const two = await server.echo("two", [[protocol, "127.0.1.2", 6000]]);
    await server.apply(`version: 1
mappings:
  - protocol: ${protocol}
    port: 6000
    to: [{ address: 127.0.1.1, weight: 1 }, { address: 127.0.1.2, weight: 1 }]
`);
    const seen = new Set<string | undefined>();
    for (let dials = 0; dials < 40 && seen.size < 2; dials += 1) {
      const dial = await client.dial(protocol, dialled, 6000);
      if ("tag" in dial) seen.add(dial.tag);
    }
    expect(seen).toEqual(new Set(["one", "two"]));
    await two.stop();
    for (let dials = 0; dials < 10; dials += 1) {
      expect(await client.dial(protocol, dialled, 6000)).toMatchObject({ tag: "one" });
    }
  });
}

test("explain names what was passed over, and why", async () => {
  const { server } = network;
  await server.echo("app", [["tcp", "127.0.1.2", 6000]]);
  await server.apply(`version: 1
mappings:
  - { name: office, port: 6000, from: 198.51.100.0/24, to: 127.0.1.1 }
  - { name: wire, port: 6000, interface: up0, to: 127.0.1.1 }
  - { name: rest, port: 6000-6001, to: 127.0.1.2 }
`);
  const from = ["--from", "203.0.113.100:40000"];
  const other = await server.ask([
    "explain",
    "tcp",
    `${dialled}:6000`,
    ...from,
    "--interface",
    "lo",
  ]);
  expect(other.stdout).toContain("office");
  expect(other.stdout).toContain("203.0.113.100 is not in 198.51.100.0/24");
  expect(other.stdout).toContain("it is for up0");
  expect(other.stdout).toContain("the mapping rest");
  // Without --interface, the one that has the address.
  const wire = await server.ilmDone(["explain", "tcp", `${dialled}:6000`, ...from, "--json"]);
  expect(wire.json()).toMatchObject({ verdict: "missed", mapping: "wire" });
});

test("diff says which connections go elsewhere, and where", async () => {
  const { server } = network;
  await server.apply(`version: 1
mappings:
  - { port: [6000, 6001], to: 127.0.1.1 }
  - { name: net, port: 6000, on: 203.0.113.0/24, to: 127.0.1.3 }
`);
  const file = server.file(`version: 1
mappings:
  - { port: [6000, 6001], to: 127.0.1.2 }
  - { name: net, port: 6000, on: 203.0.113.0/24, to: 127.0.1.3 }
  - { name: host, port: 6000, on: 203.0.113.5, from: 198.51.100.0/24, to: 127.0.1.4 }
`);
  const result = await server.ilm(["diff", "-f", file, "--json"]);
  expect(result.status).toBe(1);
  const to = (address: string) => ({ to: [{ address, port: "same" }] });
  expect(result.json()).toMatchObject({
    added: [{ name: "host" }],
    changed: [{ fields: ["to"] }],
    moves: [
      {
        on: "203.0.113.5/32",
        port: "6000",
        before: [to("127.0.1.3")],
        after: [{ from: ["198.51.100.0/24"], ...to("127.0.1.4") }, to("127.0.1.3")],
      },
      { on: "0.0.0.0/0", port: "6000-6001", before: [to("127.0.1.1")], after: [to("127.0.1.2")] },
    ],
    moreMoves: false,
  });
  const words = await server.ilm(["diff", "-f", file]);
  expect(words.stdout).toContain(
    "tcp 6000-6001 on all other IPv4 addresses: 127.0.1.1 -> 127.0.1.2",
  );
});
