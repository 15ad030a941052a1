// Goal: what rules decide is worked out from them alone as the oracle decides it, whoever listens.
import { describe, expect, test } from "vitest";
import type { Address, Prefix } from "../../../src/model/address.js";
import { emptyRules, type Rules } from "../../../src/model/rules.js";
import { Evaluator, outcomeOf } from "../../../src/rules/evaluate.js";
import { Judge } from "../../../src/rules/judge.js";
import { agreesWith, evaluate } from "../../oracle/evaluated.js";
import {
  generatePacket,
  generateRules,
  generateSockets,
  interfaceNames,
} from "../../oracle/generate.js";
import { decide, type Socket } from "../../oracle/oracle.js";
import { random } from "../../support/random.js";
import { address, listener } from "../cli/fixtures.js";
import { mapping, ruleSet } from "../daemon/fixtures.js";

test("6000 random packets are worked out as the oracle decides them", () => {
  const source = random();
  const names = new Map(interfaceNames.map((name, index) => [index + 1, name]));
  const tally: Record<string, number> = {};
  for (let round = 0; round < 60; round++) {
    const rules = generateRules(source, source.oneIn(2));
    const sockets = generateSockets(source).map((wanted, index): Socket => {
      const { protocol, address: at, port, uid, gid } = wanted;
      // An IPv6 socket that is bound to one address takes no IPv4.
      const v6only = at.includes(":") && (wanted.v6only || at !== "::");
      return { protocol, address: at, port, v6only, uid, gid, cookie: `${index}`, early: true };
    });
    const worked = evaluate(rules, sockets, names);
    for (let asked = 0; asked < 100; asked++) {
      const packet = generatePacket(source, [0, ...names.keys()]);
      const expected = decide(rules, sockets, packet, names);
      const found = worked(packet);
      tally[found.verdict] = (tally[found.verdict] ?? 0) + 1;
      if (!agreesWith(expected, found)) {
        const where = `ILM_SEED=${source.seed}, rule set ${round}`;
        expect.fail(JSON.stringify({ where, packet, expected, found, rules, sockets }, null, 1));
      }
    }
  }
  for (const verdict of ["unmanaged", "existing", "selected", "missed", "rejected"]) {
    expect(tally[verdict] ?? 0, JSON.stringify(tally)).toBeGreaterThan(20);
  }
});

describe("a mapping whose destinations have weights", () => {
  const port = { first: 443, last: 443 };
  const to = ["127.0.1.10", "127.0.1.11", "127.0.1.12"].map((text) => ({
    address: address(text),
    port: "same" as const,
    weight: 1,
  }));
  const rules: Rules = { ...emptyRules, file: ruleSet(mapping("web", { ports: [port], to })) };
  const dialled = {
    protocol: "tcp" as const,
    local: address("203.0.113.5"),
    localPort: 443,
    remote: address("198.51.100.7"),
    interface: null,
  };
  const selectedOf = (...listening: readonly string[]): readonly number[] =>
    outcomeOf(
      new Evaluator(rules).choose(dialled),
      dialled,
      listening.map((text) => listener(text, 443)),
      new Judge(rules, "allow", () => true),
    ).destinations;

  test("may give a client to each that listens, and to no other", () => {
    expect(selectedOf("127.0.1.10", "127.0.1.12")).toEqual([0, 2]);
    expect(selectedOf("127.0.1.11")).toEqual([1]);
    expect(selectedOf()).toEqual([]);
  });
});

test("a mapping is found among many with the same port, by the longest prefix", () => {
  const many = Array.from({ length: 5000 }, (_, index) =>
    mapping(`m${index}`, {
      ports: [{ first: 80, last: 80 }],
      on: [`10.${index >> 8}.${index & 255}.0/24` as Prefix],
    }),
  );
  const rules: Rules = { ...emptyRules, file: ruleSet(...many) };
  const chosen = new Evaluator(rules).choose({
    protocol: "tcp",
    local: "10.18.7.9" as Address,
    localPort: 80,
    remote: address("198.51.100.7"),
    interface: null,
  });
  expect(chosen).toMatchObject({ index: 18 * 256 + 7, matchedBy: "prefix" });
});
