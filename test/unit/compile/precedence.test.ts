/**
 * Which mapping a packet comes to, as one table: the longest `on` prefix, then the smallest port set; what ties in both is
 * refused. File order never decides: each row is compiled forwards and backwards.
 */
import { describe, expect, test } from "vitest";
import { checkRules, compile, type Compiled } from "../../../src/compile/compile.js";
import {
  type Address,
  familyOf,
  parsePrefix,
  prefixContains,
  prefixLength,
} from "../../../src/model/address.js";
import type { Mapping, Protocol, Rules } from "../../../src/model/mapping.js";
import { parsePorts, portsContain } from "../../../src/model/ports.js";
import { tie } from "../../oracle/oracle.js";
import { random } from "../../support/random.js";
import { generateMapping } from "../../oracle/generate.js";

/** `NAME PORTS [@PREFIX,PREFIX]`, TCP unless it begins with `udp `. */
function mapping(text: string, line: number): Mapping {
  const [head = "", on = ""] = text.split(" @");
  const words = head.split(" ");
  const protocol: Protocol = words[0] === "udp" ? "udp" : "tcp";
  const [name = "", ports = ""] = protocol === "udp" ? words.slice(1) : words;
  const parsed = parsePorts(ports);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return {
    name,
    protocol,
    ports: parsed.ports,
    on: (on === "" ? [] : on.split(",")).map((prefix) => {
      const result = parsePrefix(prefix);
      if (!result.ok) throw new Error(`${text}: ${result.reason}`);
      return result.prefix;
    }),
    to: [
      { address: "127.0.1.1" as Address, port: 1 },
      { address: "fd5e:ed00::1" as Address, port: 1 },
    ],
    existing: "exact",
    miss: "pass",
    origin: { file: "table", line, column: 3 },
  };
}

function rulesOf(mappings: readonly Mapping[]): Rules {
  return { source: "table", file: { services: [], mappings }, runtime: [] };
}

/** Reads the compiled tables as the program does: class of the port, exact address, longest prefix, the rest. */
function winner(compiled: Compiled, protocol: Protocol, address: Address, port: number): string {
  const number = compiled.classes.findIndex(
    (entry) => entry.protocol === protocol && portsContain(entry.ranges, port),
  );
  const found = compiled.classes[number];
  if (found === undefined) return "-";
  const exact = compiled.exact.find(
    (entry) => entry.class === number + 1 && entry.address === address,
  );
  const [longest] = compiled.prefixes
    .filter((entry) => entry.class === number + 1 && prefixContains(entry.prefix, address))
    .sort((a, b) => prefixLength(b.prefix) - prefixLength(a.prefix));
  const rule = exact?.rule ?? longest?.rule ?? found.fallback[familyOf(address)];
  const index = compiled.rules[rule - 1]?.mapping;
  return index === undefined ? "-" : (compiled.mappings[index]?.name ?? "-");
}

interface Row {
  readonly fact: string;
  readonly mappings: readonly string[];
  /** `ADDRESS PORT -> NAME`, TCP unless it begins with `udp `; `-`: unmanaged. */
  readonly packets: readonly string[];
}

const rows: readonly Row[] = [
  {
    fact: "without prefixes every address is mapped, of both families",
    mappings: ["all 80"],
    packets: [
      "203.0.113.1 80 -> all",
      "2001:db8::1 80 -> all",
      "127.0.0.1 80 -> all",
      "203.0.113.1 81 -> -",
    ],
  },
  {
    fact: "protocols do not meet",
    mappings: ["t 53", "udp u 53-54"],
    packets: [
      "203.0.113.1 53 -> t",
      "udp 203.0.113.1 53 -> u",
      "udp 203.0.113.1 54 -> u",
      "203.0.113.1 54 -> -",
    ],
  },
  {
    fact: "a port alone comes before a range, a range before a larger one, and any before all ports",
    mappings: ["one 85", "some 80-89", "many 1-1000", "every *"],
    packets: [
      "203.0.113.1 85 -> one",
      "203.0.113.1 84 -> some",
      "203.0.113.1 86 -> some",
      "203.0.113.1 79 -> many",
      "203.0.113.1 90 -> many",
      "203.0.113.1 1001 -> every",
      "203.0.113.1 65535 -> every",
      "203.0.113.1 1 -> many",
    ],
  },
  {
    fact: "the size of a list is the number of its ports, not of its ranges",
    mappings: ["three 80,85,90", "range 80-81"],
    packets: [
      "203.0.113.1 80 -> range",
      "203.0.113.1 81 -> range",
      "203.0.113.1 85 -> three",
      "203.0.113.1 82 -> -",
    ],
  },
  {
    fact: "a longer prefix comes before a shorter one, and any before none",
    mappings: [
      "none 80",
      "eight 80 @203.0.0.0/8",
      "twentyfour 80 @203.0.113.0/24",
      "host 80 @203.0.113.5/32",
    ],
    packets: [
      "203.0.113.5 80 -> host",
      "203.0.113.6 80 -> twentyfour",
      "203.1.0.1 80 -> eight",
      "198.51.100.1 80 -> none",
      "2001:db8::1 80 -> none",
    ],
  },
  {
    fact: "the same for IPv6",
    mappings: [
      "none 80",
      "net 80 @2001:db8::/32",
      "half 80 @2001:db8::/33",
      "host 80 @2001:db8::5/128",
    ],
    packets: [
      "2001:db8::5 80 -> host",
      "2001:db8::6 80 -> half",
      "2001:db8:8000::1 80 -> net",
      "2001:db9::1 80 -> none",
    ],
  },
  {
    fact: "the prefix decides before the port set",
    mappings: ["port 80", "net * @203.0.113.0/24", "host 1-1000 @203.0.113.5/32"],
    packets: [
      "203.0.113.5 80 -> host",
      "203.0.113.5 1001 -> net",
      "203.0.113.6 80 -> net",
      "198.51.100.1 80 -> port",
      "198.51.100.1 81 -> -",
    ],
  },
  {
    fact: "of equal prefixes the smaller port set decides",
    mappings: ["large 80-89 @203.0.113.0/24", "small 85 @203.0.113.0/24"],
    packets: ["203.0.113.1 85 -> small", "203.0.113.1 84 -> large", "198.51.100.1 85 -> -"],
  },
  {
    fact: "each prefix of a list counts by itself",
    mappings: ["list 80 @203.0.113.0/24,198.51.100.0/25", "other 80 @198.51.100.0/24"],
    packets: ["203.0.113.1 80 -> list", "198.51.100.1 80 -> list", "198.51.100.200 80 -> other"],
  },
  {
    fact: "a mapping for the other family's prefixes takes nothing",
    mappings: ["six 80 @2001:db8::/32", "rest 80-81"],
    packets: ["203.0.113.1 80 -> rest", "2001:db8::1 80 -> six", "2001:db8::1 81 -> rest"],
  },
  {
    fact: "a prefix without its port does not stand in the way of a shorter one that has it",
    mappings: ["net 80 @203.0.113.0/24", "host 81 @203.0.113.5/32"],
    packets: ["203.0.113.5 80 -> net", "203.0.113.5 81 -> host", "203.0.113.6 81 -> -"],
  },
  {
    fact: "the lowest and the highest port are ports",
    mappings: ["low 1", "high 65535", "between 2-65534"],
    packets: [
      "203.0.113.1 1 -> low",
      "203.0.113.1 2 -> between",
      "203.0.113.1 65534 -> between",
      "203.0.113.1 65535 -> high",
    ],
  },
  {
    fact: "the lowest and the highest address are addresses",
    mappings: ["low 80 @0.0.0.0/32", "high 80 @255.255.255.255/32", "half 80 @128.0.0.0/1"],
    packets: [
      "0.0.0.0 80 -> low",
      "255.255.255.255 80 -> high",
      "255.255.255.254 80 -> half",
      "127.0.0.1 80 -> -",
    ],
  },
];

describe("precedence", () => {
  for (const { fact, mappings, packets } of rows) {
    for (const backwards of [false, true]) {
      test(`${fact}${backwards ? ", in reverse order" : ""}`, () => {
        const parsed = mappings.map((text, index) => mapping(text, index + 1));
        const compiled = compile(rulesOf(backwards ? parsed.reverse() : parsed));
        const answers = packets.map((packet) => {
          const [question = ""] = packet.split(" -> ");
          const words = question.split(" ");
          const protocol: Protocol = words[0] === "udp" ? "udp" : "tcp";
          const [address = "", port = ""] = protocol === "udp" ? words.slice(1) : words;
          return `${question} -> ${winner(compiled, protocol, address as Address, Number(port))}`;
        });
        expect(answers).toEqual(packets);
      });
    }
  }
});

const ties: readonly (readonly [string, string, string])[] = [
  ["the same port", "a 80", "b 80"],
  ["the same range", "a 80-89", "b 80-89"],
  ["ranges of one size that overlap", "a 80-89", "b 85-94"],
  ["lists of one size that share a port", "a 80,443", "b 443,8443"],
  ["the same prefix", "a 80 @203.0.113.0/24", "b 80 @203.0.113.0/24"],
  [
    "one prefix of several",
    "a 80 @203.0.113.0/24,198.51.100.0/24",
    "b 80 @192.0.2.0/24,198.51.100.0/24",
  ],
  ["all ports", "a *", "b *"],
  ["the same IPv6 address", "a 80 @2001:db8::1/128", "b 80 @2001:db8::1/128"],
];

const noTies: readonly (readonly [string, string, string])[] = [
  ["ports that do not meet", "a 80-89", "b 90-99"],
  ["prefixes of one length that do not meet", "a 80 @203.0.113.0/24", "b 80 @198.51.100.0/24"],
  ["nested prefixes", "a 80 @203.0.113.0/24", "b 80 @203.0.113.0/25"],
  ["port sets of different sizes", "a 80-89", "b 80-90"],
  ["protocols", "a 80", "udp b 80"],
  ["prefixes of different families", "a 80 @203.0.113.0/24", "b 80 @2001:d00::/24"],
];

describe("ties", () => {
  for (const [what, first, second] of ties) {
    test(`refused, with both lines named: ${what}`, () => {
      const rules = rulesOf([mapping(first, 11), mapping(second, 22)]);
      const problems = checkRules(rules);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatchObject({ severity: "error", file: "table", line: 22, column: 3 });
      expect(problems[0]?.message).toContain("table:11:3");
      expect(() => compile(rules)).toThrow(
        expect.objectContaining({ code: "CONFIGURATION" }) as Error,
      );
    });
  }

  for (const [what, first, second] of noTies) {
    test(`no tie: ${what}`, () => {
      expect(checkRules(rulesOf([mapping(first, 11), mapping(second, 22)]))).toEqual([]);
    });
  }

  test("every tie is reported, not only the first", () => {
    const problems = checkRules(
      rulesOf([mapping("a 80", 1), mapping("b 80", 2), mapping("c 443", 3), mapping("d 443", 4)]),
    );
    expect(problems.map(({ line }) => line)).toEqual([2, 4]);
  });

  test("a mapping added at run time ties with the file's, and the file's place is named", () => {
    const runtime = { ...mapping("b 80", 0), origin: { file: "<argument>", line: 0, column: 0 } };
    const problems = checkRules({ ...rulesOf([mapping("a 80", 11)]), runtime: [runtime] });
    expect(problems).toHaveLength(1);
    expect(problems[0]?.file).toBe("<argument>");
    expect(problems[0]?.message).toContain("table:11:3");
  });

  test("two random mappings are refused exactly when the oracle says that they tie", () => {
    const source = random();
    let tied = 0;
    for (let pair = 0; pair < 5000; pair += 1) {
      const [a, drawn] = [generateMapping(source, 1, []), generateMapping(source, 2, [])];
      // Two draws hardly ever meet: the second takes over some of the first.
      const b: Mapping = {
        ...drawn,
        ports: source.oneIn(2) ? a.ports : drawn.ports,
        on: source.oneIn(2) ? a.on : drawn.on,
      };
      const problems = checkRules(rulesOf([a, b]));
      const expected = tie(a, b);
      tied += expected ? 1 : 0;
      expect(problems.length > 0, `seed ${source.seed}: ${JSON.stringify([a, b])}`).toBe(expected);
    }
    expect(tied).toBeGreaterThan(500);
  });
});
