// Goal: what the program wrote of a decision is told in the terms of the rules that decided.
import { describe, expect, test } from "vitest";
import {
  AttemptCode,
  type Decision as Record,
  ILM_MAPPING_NONE,
  MatchedCode,
  VerdictCode,
} from "../../../../src/abi/generated.js";
import { toDecision } from "../../../../src/dataplane/observe/decisions.js";
import { IlmError } from "../../../../src/errors.js";
import { addressBytes } from "../../../../src/model/address.js";
import { address, mapping, ruleSet, activeRules } from "../../daemon/fixtures.js";

const both = mapping("both", {
  to: [
    { address: address("127.0.1.10"), port: 8080 },
    { address: address("fd5e:ed00::10"), port: 8080 },
    { address: address("127.0.1.11"), port: 8080 },
  ],
});
const placed = {
  layers: null,
  overlaid: null,
  rules: activeRules(ruleSet(mapping("first"), both)),
};

function record(changes: Partial<Record> = {}): Record {
  return {
    timeNs: 1n,
    local: addressBytes(address("203.0.113.1")),
    remote: addressBytes(address("198.51.100.7")),
    mapping: 1,
    generation: 7,
    interface: 2,
    localPort: 80,
    remotePort: 40_000,
    protocol: 6,
    family: 2,
    verdict: VerdictCode.SELECTED,
    matched: MatchedCode.DEFAULT,
    selected: 1,
    strangers: 0,
    attempts: Uint8Array.of(AttemptCode.ABSENT, AttemptCode.STEERED),
    ...changes,
  };
}

describe("a decision", () => {
  test("names the packet, the mapping and what became of each destination that was tried", () => {
    expect(toDecision(record(), placed)).toEqual({
      verdict: "selected",
      packet: {
        protocol: "tcp",
        local: "203.0.113.1",
        localPort: 80,
        remote: "198.51.100.7",
        remotePort: 40_000,
        interfaceIndex: 2,
      },
      mapping: 1,
      matchedBy: "default",
      strangers: false,
      // The second that this family can try is the third of the mapping's.
      destination: 2,
      attempts: [
        { destination: 0, outcome: "absent" },
        { destination: 2, outcome: "selected" },
      ],
      generation: 7,
    });
  });

  test("without a destination that was selected names none, and says which were not reached", () => {
    const missed = toDecision(record({ verdict: VerdictCode.MISSED }), placed);
    expect(missed.destination).toBeNull();
    expect(missed.attempts.map(({ outcome }) => outcome)).toEqual(["absent", "unreached"]);
  });

  test("of a datagram over IPv6 has the destinations in the order of that family", () => {
    const udp = toDecision(
      record({
        protocol: 17,
        family: 10,
        local: addressBytes(address("2001:db8::1")),
        remote: addressBytes(address("2001:db8::7")),
        selected: 0,
        attempts: Uint8Array.of(AttemptCode.SELECTED),
      }),
      placed,
    );
    expect(udp.packet).toMatchObject({ protocol: "udp", local: "2001:db8::1" });
    expect(both.to[udp.destination ?? -1]?.address).toBe("fd5e:ed00::10");
  });

  test("that no mapping made names none", () => {
    const unmanaged = toDecision(
      record({ mapping: ILM_MAPPING_NONE, verdict: VerdictCode.UNMANAGED }),
      placed,
    );
    expect(unmanaged).toMatchObject({ verdict: "unmanaged", mapping: null, attempts: [] });
  });

  test("of a program that says what this version does not know is refused", () => {
    expect(() => toDecision(record({ verdict: 99 }), placed)).toThrow(IlmError);
  });
});
