// Goal: what is open counts for the mapping by which it came, at the destination that has it.
import { expect, test } from "vitest";
import type { Mapping } from "../../../src/model/mapping.js";
import { DrainedPlaces } from "../../../src/rules/drained.js";
import { type Live, liveAt, liveIn } from "../../../src/rules/live.js";
import { address, mapping, prefix, ruleSet, rules } from "../daemon/fixtures.js";

const port = (first: number, last = first): Pick<Mapping, "ports"> => ({
  ports: [{ first, last }],
});
const to = (...hosts: readonly number[]): Pick<Mapping, "to"> => ({
  to: hosts.map((host) => ({ address: address(`127.0.1.${host}`), port: 7000 })),
});

const active = rules(
  ruleSet(
    mapping("every", { ...port(443), ...to(10, 11) }),
    mapping("near", { ...port(443), ...to(10), from: [prefix("198.51.100.0/24")] }),
    mapping("own", { ...port(443), ...to(11, 10), on: [prefix("203.0.113.9/32")] }),
    mapping("range", { ...port(440, 449), ...to(12) }),
    mapping("wild", { ...port(80), to: [{ address: "*", port: 7000 }] }),
    mapping("names", { ...port(443), ...to(10), protocol: "udp" }),
  ),
);

function live(dialled: string, daemon: string, changes: Partial<Live> = {}): Live {
  return {
    protocol: "tcp",
    dialled: { address: address(dialled), port: 443 },
    client: address("192.0.2.7"),
    daemon: { address: address(daemon), port: 7000 },
    count: 1,
    ...changes,
  };
}

const open = [
  live("203.0.113.5", "127.0.1.10", { count: 3 }),
  live("203.0.113.5", "127.0.1.11", { count: 2 }),
  live("203.0.113.5", "127.0.1.10", { client: address("198.51.100.7"), count: 5 }),
  live("203.0.113.9", "127.0.1.10", { count: 7 }),
  live("203.0.113.5", "127.0.1.12"),
  live("203.0.113.5", "0.0.0.0", { dialled: { address: address("203.0.113.5"), port: 80 } }),
  live("203.0.113.5", "127.0.1.10", { protocol: "udp" }),
  // Dialled without a mapping.
  live("127.0.1.10", "127.0.1.10", { dialled: { address: address("127.0.1.10"), port: 7000 } }),
];

test("each counts once: where the first mapping to decide leads to its daemon", () => {
  expect(liveIn(active, [0, 1, 2, 3, 4, 5], open)).toEqual([[3, 2], [5], [0, 7], [1], [1], [1]]);
});

test("a few mappings count the same as among all", () => {
  expect(liveIn(active, [2, 0], open)).toEqual([
    [0, 7],
    [3, 2],
  ]);
});

test("what is drained has all that is open there, however it came", () => {
  const drained = { protocol: null, address: address("127.0.1.10"), service: null, port: null };
  expect(liveAt(new DrainedPlaces([drained], []), open)).toEqual({ tcp: 16, udp: 1 });
});
