/** One packet led through the chains of a firewall: what is sure of it, and what may be. */
import { describe, expect, test } from "vitest";
import { judgePacket } from "../../../src/config/nft/packet.js";
import { chainsOf } from "../../../src/config/nft/sources.js";
import type { Address } from "../../../src/model/address.js";

function judge(text: string, local: string, remote: string, port = 6000): readonly string[] {
  const chains = chainsOf({ rulesets: [], saved: [{ name: "rules", text }] });
  const packet = {
    protocol: "tcp" as const,
    local: local as Address,
    localPort: port,
    remote: remote as Address,
    remotePort: 5555,
    interfaceIndex: 2,
  };
  return judgePacket(chains, { packet, interfaceName: "eth0", itself: false }).map(
    ({ what, rule, doubt }) =>
      `${doubt === null ? "" : "may: "}${what} ${rule === null ? "policy" : rule.text}`,
  );
}

const table = (...rules: readonly string[]): string =>
  [
    "*filter",
    ":INPUT DROP [0:0]",
    ":FORWARD DROP [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":user - [0:0]",
    ...rules,
    "COMMIT",
    "",
  ].join("\n");

describe("of iptables", () => {
  test("what has no rule meets the policy", () => {
    expect(
      judge(table("-A INPUT -p tcp --dport 22 -j ACCEPT"), "203.0.113.1", "198.51.100.7"),
    ).toEqual(["drops policy"]);
  });

  test("a chain of the user's is followed and left", () => {
    const rules = table(
      "-A INPUT -j user",
      "-A user -p tcp -m tcp --dport 6000 -j ACCEPT",
      "-A user -j RETURN",
    );
    expect(judge(rules, "203.0.113.1", "198.51.100.7")).toEqual([]);
    expect(judge(rules, "203.0.113.1", "198.51.100.7", 6001)).toEqual(["drops policy"]);
  });

  test("an interface by a pattern is known for one packet", () => {
    const rules = table("-A INPUT -i eth+ -j ACCEPT");
    expect(judge(rules, "203.0.113.1", "198.51.100.7")).toEqual([]);
  });

  test.each(["-m rt --rt-type 0 -j DROP", "-m frag --fraglast -j DROP"])(
    "a packet of a client has no extension header that %s asks for",
    (rule) => {
      const rules = table(
        `-A INPUT -s 2001:db8::/32 ${rule}`,
        "-A INPUT -s 2001:db8::/32 -j ACCEPT",
      );
      expect(judge(rules, "2001:db8::1", "2001:db8::7")).toEqual([]);
    },
  );

  test("what a mark decides is not sure, unless each way ends", () => {
    const mark = "-A INPUT -m mark --mark 0x7 -j DROP";
    expect(judge(table(mark, "-A INPUT -j ACCEPT"), "203.0.113.1", "198.51.100.7")).toEqual([
      expect.stringMatching(/^may: drops .*--mark/),
    ]);
    expect(judge(table(mark), "203.0.113.1", "198.51.100.7")).toEqual([
      expect.stringMatching(/^may: drops .*--mark/),
      "drops policy",
    ]);
  });
});
