/**
 * Which mapping a packet comes to, as one table: the longest `on` prefix, then the smallest port
 * set, then the longest `from`, then an explicit interface; what ties in all of that is refused.
 * File order never decides: each row is compiled forwards and backwards.
 */
import { describe, expect, test } from "vitest";
import { checkRules, compile } from "../../../src/compile/compile.js";
import { type Address, parsePrefix, type Prefix } from "../../../src/model/address.js";
import type { Mapping, Protocol } from "../../../src/model/mapping.js";
import type { Rules } from "../../../src/model/rules.js";
import { parsePorts } from "../../../src/model/ports.js";
import { tie } from "../../oracle/oracle.js";
import { random } from "../../support/random.js";
import { readTables } from "../../support/read-tables.js";
import { generateMapping } from "../../oracle/generate.js";

/**
 * `NAME PORTS [@PREFIX,PREFIX] [<SOURCE,SOURCE] [%NAME,NAME]`, TCP unless it begins with `udp `.
 */
function mapping(text: string, line: number): Mapping {
  const list = (mark: string): string[] =>
    new RegExp(` ${mark}([^ ]+)`).exec(text)?.[1]?.split(",") ?? [];
  const [head = ""] = text.split(/ [@<%]/);
  const words = head.split(" ");
  const protocol: Protocol = words[0] === "udp" ? "udp" : "tcp";
  const [name = "", ports = ""] = protocol === "udp" ? words.slice(1) : words;
  const parsed = parsePorts(ports);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return {
    name,
    protocol,
    ports: parsed.ports,
    on: list("@").map(prefix),
    ...(list("<").length > 0 && { from: list("<").map(prefix) }),
    ...(list("%").length > 0 && { interfaces: list("%") }),
    to: [
      { address: "127.0.1.1" as Address, port: 1 },
      { address: "fd5e:ed00::1" as Address, port: 1 },
    ],
    existing: "exact",
    miss: "pass",
    origin: { file: "table", line, column: 3 },
  };
}

function prefix(text: string): Prefix {
  const result = parsePrefix(text);
  if (!result.ok) throw new Error(result.reason);
  return result.prefix;
}

function rulesOf(mappings: readonly Mapping[]): Rules {
  return { sources: ["table"], file: { services: [], mappings }, runtime: [] };
}

interface Row {
  readonly fact: string;
  readonly mappings: readonly string[];
  /**
   * `ADDRESS PORT [<SOURCE] [%INTERFACE] -> NAME`, TCP unless it begins with `udp `; `-`:
   * unmanaged.
   */
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
    fact: "a prefix without its port does not hide a shorter one that has it",
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

const conditions: readonly Row[] = [
  {
    fact: "a mapping is only for connections from its sources, the others pass it over",
    mappings: ["some 80 <198.51.100.0/24", "rest 80"],
    packets: [
      "203.0.113.1 80 <198.51.100.7 -> some",
      "203.0.113.1 80 <198.51.101.7 -> rest",
      "2001:db8::1 80 <2001:db8::9 -> rest",
    ],
  },
  {
    fact: "the longest source wins, and without a source is the last",
    mappings: [
      "none 80",
      "eight 80 <198.0.0.0/8",
      "host 80 <198.51.100.7/32",
      "net 80 <198.51.100.0/24",
    ],
    packets: [
      "203.0.113.1 80 <198.51.100.7 -> host",
      "203.0.113.1 80 <198.51.100.8 -> net",
      "203.0.113.1 80 <198.1.1.1 -> eight",
      "203.0.113.1 80 <1.1.1.1 -> none",
    ],
  },
  {
    fact: "the port set decides before the source",
    mappings: ["wide 80-89 <198.51.100.7/32", "narrow 80"],
    packets: ["203.0.113.1 80 <198.51.100.7 -> narrow", "203.0.113.1 81 <198.51.100.7 -> wide"],
  },
  {
    fact: "the prefix dialled decides before the source",
    mappings: ["net 80 @203.0.113.0/24", "source 80 <198.51.100.7/32"],
    packets: ["203.0.113.1 80 <198.51.100.7 -> net", "203.0.114.1 80 <198.51.100.7 -> source"],
  },
  {
    fact: "passed over at a longer prefix, a connection falls to the shorter one, and to all addresses",
    mappings: [
      "host 80 @203.0.113.5/32 <198.51.100.0/24",
      "net 80 @203.0.113.0/24 <198.51.0.0/16",
      "all 80 <198.0.0.0/8",
    ],
    packets: [
      "203.0.113.5 80 <198.51.100.1 -> host",
      "203.0.113.5 80 <198.51.1.1 -> net",
      "203.0.113.5 80 <198.1.1.1 -> all",
      "203.0.113.5 80 <1.1.1.1 -> -",
      "203.0.113.6 80 <198.51.100.1 -> net",
      "203.0.113.6 80 <198.1.1.1 -> all",
      "1.1.1.1 80 <198.51.100.1 -> all",
    ],
  },
  {
    fact: "passed over by the smaller port set, a connection falls to the larger",
    mappings: ["one 80 <198.51.100.0/24", "ten 80-89 <198.51.0.0/16", "every *"],
    packets: [
      "203.0.113.1 80 <198.51.100.1 -> one",
      "203.0.113.1 80 <198.51.1.1 -> ten",
      "203.0.113.1 80 <1.1.1.1 -> every",
      "203.0.113.1 81 <1.1.1.1 -> every",
    ],
  },
  {
    fact: "an explicit interface comes before none, after the source",
    mappings: [
      "none 80",
      "eth 80 %eth0",
      "source 80 <198.51.100.0/24",
      "both 80 <198.51.100.0/24 %eth0",
    ],
    packets: [
      "203.0.113.1 80 <198.51.100.1 %eth0 -> both",
      "203.0.113.1 80 <198.51.100.1 %eth1 -> source",
      "203.0.113.1 80 <1.1.1.1 %eth0 -> eth",
      "203.0.113.1 80 <1.1.1.1 %eth1 -> none",
    ],
  },
  {
    fact: "a longer source comes before an interface, and its own chain goes on to the shorter source",
    mappings: ["long 80 <198.51.100.0/24 %eth0", "short 80 <198.51.0.0/16 %eth1", "last 80 %eth2"],
    packets: [
      "203.0.113.1 80 <198.51.100.1 %eth0 -> long",
      "203.0.113.1 80 <198.51.100.1 %eth1 -> short",
      "203.0.113.1 80 <198.51.100.1 %eth2 -> last",
      "203.0.113.1 80 <198.51.100.1 %eth3 -> -",
      "203.0.113.1 80 <198.51.1.1 %eth0 -> -",
    ],
  },
  {
    fact: "several interfaces are one mapping on each",
    mappings: ["two 80 %eth0,eth1"],
    packets: [
      "203.0.113.1 80 %eth0 -> two",
      "203.0.113.1 80 %eth1 -> two",
      "203.0.113.1 80 %lo -> -",
      "2001:db8::1 80 %eth1 -> two",
    ],
  },
  {
    fact: "sources of one family do not touch the other",
    mappings: ["four 80 <198.51.100.0/24", "six 80 <2001:db8::/32", "rest 80"],
    packets: [
      "203.0.113.1 80 <198.51.100.1 -> four",
      "2001:db8::1 80 <2001:db8::9 -> six",
      "2001:db8::1 80 <2001:db9::9 -> rest",
      "203.0.113.1 80 <1.1.1.1 -> rest",
    ],
  },
  {
    fact: "the source 0.0.0.0/0 is every IPv4 source, and no IPv6 one",
    mappings: ["four 80 <0.0.0.0/0"],
    packets: ["203.0.113.1 80 <1.1.1.1 -> four", "2001:db8::1 80 <2001:db8::9 -> -"],
  },
];

const hidden: readonly {
  readonly fact: string;
  readonly mappings: readonly string[];
  /** Names of those that can never match, each with one that its warning names. */
  readonly names: Readonly<Record<string, string>>;
}[] = [
  {
    fact: "a wide set of ports of which each has a smaller one",
    mappings: ["wide 80-81", "a 80", "b 81"],
    names: { wide: "a" },
  },
  { fact: "not while one port is left", mappings: ["wide 80-82", "a 80", "b 81"], names: {} },
  {
    fact: "a prefix that its two halves fill",
    mappings: ["net 80 @203.0.113.0/24", "low 80 @203.0.113.0/25", "high 80 @203.0.113.128/25"],
    names: { net: "low" },
  },
  {
    fact: "every address, when the halves of both families are taken",
    mappings: ["all 80", "a 80 @0.0.0.0/1", "b 80 @128.0.0.0/1", "c 80 @::/1", "d 80 @8000::/1"],
    names: { all: "a" },
  },
  {
    fact: "not when the halves pass some connections over",
    mappings: [
      "net 80 @203.0.113.0/24",
      "low 80 @203.0.113.0/25",
      "high 80 @203.0.113.128/25 <198.51.100.0/24",
    ],
    names: {},
  },
  {
    fact: "a source inside that of a smaller set of ports",
    mappings: ["wide 80-81 <198.51.100.0/24", "a 80 <198.51.0.0/16", "b 81"],
    names: { wide: "a" },
  },
  {
    fact: "an interface of which a smaller set of ports takes everything",
    mappings: ["wide 80-81 %eth0", "a 80 %eth0", "b 81 %eth0"],
    names: { wide: "a" },
  },
  {
    fact: "not on another interface",
    mappings: ["wide 80-81 %eth0", "a 80 %eth1", "b 81 %eth0"],
    names: {},
  },
];

describe("conditions", () => {
  for (const { fact, mappings, packets } of conditions) {
    for (const backwards of [false, true]) {
      test(`${fact}${backwards ? ", in reverse order" : ""}`, () => {
        expect(answer(mappings, packets, backwards)).toEqual(packets);
      });
    }
  }

  test("an address that a service owns is passed to no shorter prefix", () => {
    const rules: Rules = {
      sources: ["table"],
      file: {
        services: [
          {
            name: "web",
            addresses: ["127.0.1.1" as Address],
            origin: { file: "table", line: 1, column: 1 },
          },
        ],
        mappings: [mapping("own 80 @127.0.1.1/32 <198.51.100.0/24", 1), mapping("all 80", 2)],
      },
      runtime: [],
    };
    const compiled = compile(rules);
    const from = (remote: string): string | undefined =>
      readTables(compiled, {
        protocol: "tcp",
        local: "127.0.1.1" as Address,
        localPort: 80,
        remote: remote as Address,
        interface: "lo",
      })?.name;
    expect(from("198.51.100.1")).toBe("own");
    expect(from("1.1.1.1")).toBeUndefined();
  });

  test("ten thousand sources are one step", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => `198.${i >> 8}.${i & 255}.0/24`);
    const compiled = compile(
      rulesOf([mapping(`many 80 <${many.join(",")}`, 1), mapping("rest 80", 2)]),
    );
    expect(compiled.sources.count).toBe(10_000);
    expect(() =>
      compile(rulesOf([mapping(`many 80 <${many.join(",")}`, 1)]), {
        destinations: 16,
        entries: 1000,
        steps: 512,
      }),
    ).toThrow(expect.objectContaining({ code: "CONFIGURATION" }) as Error);
  });

  test("more mappings to pass than a program takes steps are refused, with both numbers", () => {
    const nested = Array.from({ length: 30 }, (_, i) => `m${i} 80 %eth${i} @${networkOf(i + 2)}`);
    const problems = checkRules(rulesOf(nested.map(mapping)), {
      destinations: 16,
      entries: 1000,
      steps: 20,
    });
    expect(problems[0]?.message).toContain("30");
    expect(problems[0]?.message).toContain("the limit is 20");
  });
});

/** The prefix of this length that 203.0.113.5 lies in. */
function networkOf(length: number): string {
  const value = (203 << 24) | (113 << 8) | 5;
  const kept = length === 0 ? 0 : value & (-1 << (32 - length));
  return `${[24, 16, 8, 0].map((shift) => (kept >>> shift) & 255).join(".")}/${length}`;
}

describe("mappings that can never match", () => {
  for (const { fact, mappings, names } of hidden) {
    test(`${Object.keys(names).length > 0 ? "warned of: " : ""}${fact}`, () => {
      const problems = checkRules(rulesOf(mappings.map((text, index) => mapping(text, index + 1))));
      expect(problems.map(({ severity }) => severity)).toEqual(
        Object.keys(names).map(() => "warning"),
      );
      for (const [name, by] of Object.entries(names)) {
        const warning = problems.find(({ path }) => path === `mapping ${name}`);
        expect(warning?.message).toContain(`${by} (table:`);
      }
    });
  }
});

function answer(
  mappings: readonly string[],
  packets: readonly string[],
  backwards: boolean,
): string[] {
  const parsed = mappings.map((text, index) => mapping(text, index + 1));
  const compiled = compile(rulesOf(backwards ? parsed.reverse() : parsed));
  return packets.map((packet) => {
    const [question = ""] = packet.split(" -> ");
    const words = question.split(/ (?:<|%)?/);
    const protocol: Protocol = words[0] === "udp" ? "udp" : "tcp";
    const [address = "", port = ""] = protocol === "udp" ? words.slice(1) : words;
    const found = readTables(compiled, {
      protocol,
      local: address as Address,
      localPort: Number(port),
      remote: (/ <(\S+)/.exec(question)?.[1] ??
        (address.includes(":") ? "2001:db8:9::9" : "192.0.2.99")) as Address,
      interface: / %(\S+)/.exec(question)?.[1] ?? "lo",
    });
    return `${question} -> ${found?.name ?? "-"}`;
  });
}

describe("precedence", () => {
  for (const { fact, mappings, packets } of rows) {
    for (const backwards of [false, true]) {
      test(`${fact}${backwards ? ", in reverse order" : ""}`, () => {
        expect(answer(mappings, packets, backwards)).toEqual(packets);
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
  ["the same source", "a 80 <198.51.100.0/24", "b 80 <198.51.100.0/24,192.0.2.0/24"],
  ["the same interface", "a 80 %eth0", "b 80 %eth1,eth0"],
  ["every source and none named", "a 80 <0.0.0.0/0", "b 80"],
];

const noTies: readonly (readonly [string, string, string])[] = [
  ["ports that do not meet", "a 80-89", "b 90-99"],
  ["prefixes of one length that do not meet", "a 80 @203.0.113.0/24", "b 80 @198.51.100.0/24"],
  ["nested prefixes", "a 80 @203.0.113.0/24", "b 80 @203.0.113.0/25"],
  ["port sets of different sizes", "a 80-89", "b 80-90"],
  ["protocols", "a 80", "udp b 80"],
  ["different sources of one length", "a 80 <198.51.100.0/24", "b 80 <192.0.2.0/24"],
  ["nested sources", "a 80 <198.51.100.0/24", "b 80 <198.51.0.0/16"],
  ["different interfaces", "a 80 %eth0", "b 80 %eth1"],
  ["an interface and none", "a 80 %eth0", "b 80"],
  [
    "a source with an interface and one without",
    "a 80 <198.51.100.0/24 %eth0",
    "b 80 <198.51.100.0/24",
  ],
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
    for (let pair = 0; pair < 2000; pair += 1) {
      const [a, drawn] = [
        generateMapping(source, 1, [], true),
        generateMapping(source, 2, [], true),
      ];
      // Two draws hardly ever meet: the second takes over some of the first.
      const b: Mapping = {
        ...drawn,
        ports: source.oneIn(2) ? a.ports : drawn.ports,
        on: source.oneIn(2) ? a.on : drawn.on,
        ...(a.from !== undefined && source.oneIn(2) && { from: a.from }),
        ...(a.interfaces !== undefined && source.oneIn(2) && { interfaces: a.interfaces }),
      };
      const problems = checkRules(rulesOf([a, b])).filter(({ severity }) => severity === "error");
      const expected = tie(a, b);
      tied += expected ? 1 : 0;
      expect(problems.length > 0, `seed ${source.seed}: ${JSON.stringify([a, b])}`).toBe(expected);
    }
    expect(tied).toBeGreaterThan(60);
  });
});
