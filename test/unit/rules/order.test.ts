/**
 * The one order against the oracle, which goes through all mappings: who decides, whom explanations
 * pass over, and what changes move.
 */
import { describe, expect, test } from "vitest";
import { type Address, type Prefix, familyOf } from "../../../src/model/address.js";
import { type Mapping, isConditional } from "../../../src/model/mapping.js";
import { type Rules, allMappings } from "../../../src/model/rules.js";
import { diffRules } from "../../../src/rules/diff.js";
import { findMoves } from "../../../src/rules/moves.js";
import { compareRanks, ownedBy } from "../../../src/rules/order.js";
import { type Dialled, claimsOf, passedOver } from "../../../src/rules/passed-over.js";
import { generatePacket, generateRules, interfaceNames } from "../../oracle/generate.js";
import { decide } from "../../oracle/oracle.js";
import { random } from "../../support/random.js";
import { mapping, prefix, ruleSet, rules } from "../daemon/fixtures.js";

const RULE_SETS = 200;
const PACKETS = 50;

const interfaces = new Map(interfaceNames.map((name, i) => [i + 1, name]));
const draw = random();

/** With its conditions met by just this packet. */
function withMet(one: Mapping, { remote, interface: name }: Dialled): Mapping {
  const length = familyOf(remote) === 4 ? 32 : 128;
  return {
    ...one,
    ...(one.from !== undefined && { from: [`${remote}/${length}` as Prefix] }),
    ...(one.interfaces !== undefined && name !== null && { interfaces: [name] }),
    ...(one.until !== undefined && { until: 3_153_600_000 }),
  };
}

describe(`of random rules and packets (seed ${draw.seed})`, () => {
  const cases = Array.from({ length: RULE_SETS }, () => generateRules(draw, true)).flatMap(
    (drawn) =>
      Array.from({ length: PACKETS }, () => {
        const packet = generatePacket(draw, [...interfaces.keys()]);
        const { mapping: index } = decide(drawn, [], packet, interfaces);
        const asked: Dialled = {
          ...packet,
          interface: interfaces.get(packet.interfaceIndex) ?? null,
          now: 1000,
        };
        const chosen = index === null ? null : (allMappings(drawn).at(index) ?? null);
        return { drawn, packet, asked, chosen };
      }),
  );

  test("the first claim whose conditions are met is the oracle's mapping", () => {
    for (const { drawn, asked, chosen } of cases) {
      const owned = ownedBy(drawn.file.services);
      const [first] = [...allMappings(drawn)]
        .flatMap((each) => claimsOf(each, asked, owned).map((claim) => ({ each, claim })))
        .filter(({ claim }) => claim.unmet === null)
        .toSorted((left, right) => compareRanks(left.claim, right.claim));
      expect(first?.each ?? null).toBe(chosen);
    }
  });

  test("a mapping is passed over exactly if it would decide with its conditions met, as the oracle says", () => {
    for (const { drawn, packet, asked, chosen } of cases) {
      const told = new Set(passedOver(drawn, asked, chosen).map(({ mapping: each }) => each));
      for (const each of allMappings(drawn)) {
        if (each === chosen || !isConditional(each) || told.has(each)) continue;
        // Who is not told has no claim that comes before the chosen one's.
        const claims = claimsOf(each, asked, ownedBy(drawn.file.services));
        const limit = chosen && claimsOf(chosen, asked, ownedBy(drawn.file.services));
        const before = claims.some(
          (claim) =>
            limit === null ||
            limit.every((other) => other.unmet !== null || compareRanks(claim, other) < 0),
        );
        expect(before).toBe(false);
      }
      for (const each of told) {
        const met = withMet(each, asked);
        const swap = (all: readonly Mapping[]): Mapping[] =>
          all.map((other) => (other === each ? met : other));
        const { file, runtime } = drawn;
        const changed: Rules = {
          ...drawn,
          file: { ...file, mappings: swap([...file.mappings]) },
          runtime: swap(runtime),
        };
        const { mapping: index } = decide(changed, [], packet, interfaces);
        const all = [...allMappings(changed)];
        // Another that is passed over may come first still, but not the one that was chosen.
        expect(index === null ? null : all[index]).not.toBe(chosen);
      }
    }
  });
});

const port = { ports: [{ first: 443, last: 443 }] };

test("of equal prefixes and ports, a mapping with a shorter source is not passed over before a chosen longer one", () => {
  const long = mapping("long", { ...port, from: [prefix("198.51.100.0/24")] });
  const short = mapping("short", { ...port, from: [prefix("10.0.0.0/8")] });
  const longer = mapping("longer", { ...port, from: [prefix("192.0.2.0/28")] });
  const asked: Dialled = {
    protocol: "tcp",
    local: "203.0.113.1" as Address,
    localPort: 443,
    remote: "198.51.100.7" as Address,
    interface: "eth0",
  };
  const passed = passedOver(rules(ruleSet(short, long, longer)), asked, long);
  expect(passed.map(({ mapping: each }) => each.name)).toEqual(["longer"]);
});

test("an owned address is decided by no wider mapping, so none is passed over there", () => {
  const wide = mapping("wide", { ...port, from: [prefix("10.0.0.0/8")] });
  const local = "127.0.1.10" as Address;
  const services = [{ name: "web", addresses: [local], origin: wide.origin }];
  const active = rules({ ...ruleSet(wide), services });
  const asked: Dialled = {
    protocol: "tcp",
    local,
    localPort: 443,
    remote: "198.51.100.7" as Address,
    interface: null,
  };
  expect(passedOver(active, asked, null)).toEqual([]);
});

test("what a change moves is told in the order in which mappings are asked, not in that of the file", () => {
  const all = mapping("all", port);
  const near = mapping("near", {
    ...port,
    from: [prefix("10.0.0.0/8")],
    to: [{ address: "127.0.1.20" as Address, port: 1 }],
  });
  const before = rules(ruleSet(all));
  const after = rules(ruleSet(all, near));
  const { moves } = findMoves(before, after, diffRules(before, after));
  expect(
    moves.map(({ before: was, after: is }) => [was.length, is.map(({ from }) => from)]),
  ).toEqual([[1, [["10.0.0.0/8"], []]]]);
});

describe("a connection whose family no destination takes", () => {
  const only4 = mapping("only4", port);
  const both = mapping("both", {
    ...port,
    to: ["127.0.1.10", "fd5e:ed00::10"].map((one) => ({ address: one as Address, port: "same" })),
  });
  const movesOf = (before: readonly Mapping[], after: readonly Mapping[]) => {
    const [was, is] = [rules(ruleSet(...before)), rules(ruleSet(...after))];
    return findMoves(was, is, diffRules(was, is)).moves;
  };

  test("goes nowhere else by a new mapping: missed is as not mapped", () => {
    expect(movesOf([], [only4])).toMatchObject([{ on: "0.0.0.0/0", before: [], isRest: false }]);
  });

  test("is rejected by a mapping that says so", () => {
    expect(movesOf([], [{ ...only4, miss: "reject" }])).toMatchObject([
      { on: "0.0.0.0/0" },
      { on: "::/0", before: [], after: [{ to: [], unserved: "rejected" }] },
    ]);
  });

  test("is missed where another mapping led it to a daemon", () => {
    const moves = movesOf([both], [{ ...only4, name: "both" }]);
    expect(moves.find(({ on }) => on === "::/0")).toMatchObject({
      before: [{ to: [{ address: "fd5e:ed00::10" }], unserved: null }],
      after: [{ to: [], unserved: "missed" }],
    });
    expect(moves.find(({ on }) => on === "0.0.0.0/0")).toBeUndefined();
  });
});

test("what a change moves is the rest of the addresses where a mapping has some of them", () => {
  const some = mapping("some", { ...port, on: [prefix("203.0.113.0/24")] });
  const otherPort = mapping("other", { ...some, ports: [{ first: 1, last: 442 }] });
  const before = rules(ruleSet());
  const after = rules(ruleSet(mapping("all", port), some, otherPort));
  const { moves } = findMoves(before, after, diffRules(before, after));
  expect(
    moves.filter(({ ports }) => ports.first === 443).map(({ on, isRest }) => [on, isRest]),
  ).toEqual([
    ["0.0.0.0/0", true],
    ["203.0.113.0/24", true],
  ]);
});
