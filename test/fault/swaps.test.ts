/**
 * Two rule sets that swap their destinations, one after the other, under full load over TCP and
 * UDP: nothing fails, and every connection is explained by one of the two.
 */
import { expect, test } from "vitest";
import type { Address } from "../../src/model/address.js";
import type { Mapping, Protocol } from "../../src/model/mapping.js";
import type { Rules } from "../../src/model/rules.js";
import { builtRoot } from "../support/paths.js";
import { useNetwork } from "../support/network.js";
import { sizes } from "../support/sizes.js";
import type { Request } from "../oracle/worker.js";

const network = useNetwork();
const reloads = sizes.stormReloads;

function mapping(protocol: Protocol, port: number, to: string): Mapping {
  return {
    name: `${protocol}-${port}`,
    protocol,
    ports: [{ first: port, last: port }],
    on: [],
    to: [{ address: to as Address, port: 7000 }],
    existing: "exact",
    miss: "reject",
    origin: { file: "storm", line: 1, column: 1 },
  };
}

/**
 * Ports 6000 and 6001 lead to two daemons, and each has a mapping that only its own rule set has:
 * places come and go.
 */
function rules(turn: number): Rules {
  const [one, two] = turn % 2 === 0 ? ["127.0.1.1", "127.0.1.2"] : ["127.0.1.2", "127.0.1.1"];
  const mappings = (["tcp", "udp"] as const).flatMap((protocol) => [
    mapping(protocol, 6000, one),
    mapping(protocol, 6001, two),
    mapping(protocol, 6100 + (turn % 2), `127.0.2.${1 + (turn % 2)}`),
  ]);
  return { sources: [], file: { services: [], mappings }, runtime: [] };
}

test(
  `${reloads} reloads swap the destinations under load, and no connection fails or goes astray`,
  { timeout: 240_000 + reloads * 5_000 },
  async () => {
    const { server, client } = network;
    for (const [tag, address] of [
      ["one", "127.0.1.1"],
      ["two", "127.0.1.2"],
    ] as const) {
      await server.echo(tag, [
        ["tcp", address, 7000],
        ["udp", address, 7000],
      ]);
    }
    const worker = server.start(["node", `${builtRoot}test/oracle/worker.js`]);
    let answers = 0;
    const apply = async (turn: number): Promise<void> => {
      worker.write(`${JSON.stringify({ apply: rules(turn), layered: false } satisfies Request)}\n`);
      answers += 1;
      await worker.waitFor((self) => (self.stdout.split("\n").length > answers ? true : null));
    };
    await apply(0);
    const loads = [
      await client.load("tcp", "203.0.113.5", 6000, 3),
      await client.load("udp", "203.0.113.5", 6000, 3),
      await client.load("tcp", "2001:db8::5", 6100, 3),
    ];
    // Nothing listens behind port 6100: its load shows that a reject is a reject in every moment,
    // and is not counted.
    const [tcp, udp, nobody] = loads;
    for (let turn = 1; turn <= reloads; turn += 1) await apply(turn);
    const results = await Promise.all([tcp?.stop(), udp?.stop()]);
    const refused = await nobody?.stop();
    for (const result of results) {
      expect(result?.failed).toEqual({});
      const { one = 0, two = 0, ...others } = result?.answered ?? {};
      expect(others).toEqual({});
      expect(one).toBeGreaterThan(0);
      expect(two).toBeGreaterThan(0);
    }
    expect(refused?.answered).toEqual({});
    worker.write(`${JSON.stringify({ unload: true } satisfies Request)}\n`);
  },
);
