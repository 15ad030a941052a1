// Goal: `ilm flows` names the mapping by which a client came, also where several cover what it
// dialled.
import { expect, test } from "vitest";
import type { Flow } from "../../../src/model/flow.js";
import type { Mapping } from "../../../src/model/mapping.js";
import { mappingOfFlow } from "../../../src/rules/flow-mapping.js";
import { address, mapping, prefix, ruleSet, rules } from "../daemon/fixtures.js";

function udp(name: string, changes: Partial<Mapping>): Mapping {
  return mapping(name, { protocol: "udp", ports: [{ first: 53, last: 53 }], ...changes });
}

function flow(dialled: string, port: number, daemon: string, daemonPort: number): Flow {
  return {
    client: { address: address("198.51.100.7"), port: 40_000 },
    dialled: { address: address(dialled), port },
    daemon: { address: address(daemon), port: daemonPort },
    idle_s: 1,
  };
}

const active = rules(
  ruleSet(
    udp("everywhere", {}),
    udp("network", { on: [prefix("203.0.113.0/24")] }),
    udp("elsewhere", { on: [prefix("192.0.2.0/24")] }),
    udp("range", {
      ports: [{ first: 5000, last: 5009 }],
      to: [{ address: address("127.0.1.20"), port: 5353 }],
    }),
    udp("near", {
      ports: [{ first: 55, last: 55 }],
      on: [prefix("203.0.113.1/32")],
      from: [prefix("192.0.2.0/24")],
    }),
    udp("rest", {
      ports: [{ first: 55, last: 55 }],
      to: [{ address: address("127.0.1.10"), port: 55 }],
    }),
    udp("wildcard", { ports: [{ first: 69, last: 69 }], to: [{ address: "*", port: 6969 }] }),
    mapping("tcp", { ports: [{ first: 54, last: 54 }] }),
  ),
  [
    udp("one", {
      ports: [{ first: 5004, last: 5004 }],
      to: [{ address: address("127.0.1.20"), port: 5353 }],
    }),
  ],
);

test.each([
  ["the longest prefix first", flow("203.0.113.1", 53, "127.0.1.10", 53), "network"],
  ["any address otherwise", flow("198.51.100.1", 53, "127.0.1.10", 53), "everywhere"],
  ["the port of a range", flow("203.0.113.1", 5003, "127.0.1.20", 5353), "range"],
  ["the smaller port set", flow("203.0.113.1", 5004, "127.0.1.20", 5353), "one"],
  ["not for another client", flow("203.0.113.1", 55, "127.0.1.10", 55), "rest"],
  ["a wildcard listener", flow("203.0.113.1", 69, "0.0.0.0", 6969), "wildcard"],
  ["none that leads elsewhere", flow("203.0.113.1", 53, "127.0.1.99", 53), undefined],
  ["none of another protocol", flow("203.0.113.1", 54, "127.0.1.10", 54), undefined],
])("the mapping of a flow is %s", (_, which, expected) => {
  expect(mappingOfFlow(active, which)?.name).toBe(expected);
});
