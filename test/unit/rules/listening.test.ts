// Goal: which mappings lead to a listener, and who listens for a mapping, however many have the
// same destinations.
import { describe, expect, test } from "vitest";
import { toColumns } from "../../../src/model/mapping-columns.js";
import type { Mapping } from "../../../src/model/mapping.js";
import { allMappings } from "../../../src/model/rules.js";
import { JoinedListeners, joinListeners, type Selects } from "../../../src/rules/listening.js";
import { address, listener } from "../cli/fixtures.js";
import { mapping, rules, ruleSet } from "../daemon/fixtures.js";

const ports = (first: number, last = first): Mapping["ports"] => [{ first, last }];
const to = (text: string, port: number | "same"): Mapping["to"] => [
  { address: address(text), port },
];
const anyone: Selects = () => true;
const list = [
  mapping("a", { ports: ports(80), to: to("127.0.1.10", 8080) }),
  mapping("b", { ports: ports(81), to: to("127.0.1.10", 8080) }),
  mapping("same", { ports: ports(8080), to: to("127.0.1.10", "same") }),
  mapping("other", { ports: ports(8081), to: to("127.0.1.10", "same") }),
  mapping("range", { ports: ports(8000, 8999), to: to("127.0.1.10", "same") }),
  mapping("udp", { protocol: "udp", ports: ports(8080), to: to("127.0.1.10", "same") }),
  mapping("c", { ports: ports(82), to: to("127.0.1.10", 8080) }),
  mapping("c", { ports: ports(83), to: to("127.0.1.11", 8080) }),
];
const listeners = [
  listener("127.0.1.10", 8080),
  listener("127.0.1.11", 8080),
  listener("127.0.1.12", 8080),
  listener("0.0.0.0", 8081),
];

describe.each([
  ["objects", list],
  ["columns", toColumns(list)],
])("rules as %s", (_, mappings) => {
  const active = rules({ ...ruleSet(), mappings }, [mapping("run-time", { to: list[0]!.to })]);

  test("name those that lead to a listener, in their order and once", () => {
    const views = joinListeners(active, listeners, anyone);
    expect(views.map((view) => [...view.mappings])).toEqual([
      ["a", "b", "same", "range", "c", "run-time"],
      ["c"],
      [],
      [],
    ]);
    expect(views.map(({ isMapped }) => isMapped)).toEqual([true, true, false, false]);
  });

  test("have for each mapping who listens at its destinations", () => {
    const joined = new JoinedListeners(allMappings(active), listeners, anyone);
    const listening = Array.from({ length: 9 }, (__, index) =>
      joined.statesAt(index).map((state) => state.listening),
    );
    expect(listening.flat()).toEqual([true, true, true, false, true, false, true, true, true]);
    const [other] = joined.statesAt(3);
    expect(other?.wildcardWouldAnswer).toMatchObject({ address: "0.0.0.0", port: 8081 });
  });
});

test("a hundred thousand mappings to one listener are joined in one pass", () => {
  const many = Array.from({ length: 100_000 }, (_, i) => mapping(`m${i}`, { to: list[0]!.to }));
  const [view] = joinListeners(
    rules({ ...ruleSet(), mappings: toColumns(many) }),
    listeners,
    anyone,
  );
  expect(view?.mappings).toHaveLength(100_000);
});
