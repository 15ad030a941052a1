/**
 * What a right configuration means: defaults, expansion, canonical forms, names, origins, warnings.
 */
import { describe, expect, test } from "vitest";

import { parseConfiguration } from "../../../src/config/parse.js";
import { formatPorts } from "../../../src/model/ports.js";
import {
  load,
  meaning,
  problemsOf,
  refusal,
  ruleSetOf,
  warningsOf,
  withMappings,
} from "./support.js";

const web4 = { address: "127.0.1.10", service: "web" };
const web6 = { address: "fd5e:ed00::10", service: "web" };

function only(entry: string) {
  const { mappings } = ruleSetOf(withMappings(entry));
  expect(mappings).toHaveLength(1);
  return mappings.at(0)!;
}

test("an entry with a port and a service has the defaults for the rest", () => {
  expect(meaning(only("{ port: 443, to: web }"))).toEqual({
    name: "tcp:443",
    protocol: "tcp",
    ports: [{ first: 443, last: 443 }],
    on: [],
    to: [
      { ...web4, port: "same" },
      { ...web6, port: "same" },
    ],
    existing: "exact",
    miss: "pass",
  });
});

test("an entry with everything means everything", () => {
  expect(
    meaning(
      only(
        '{ name: blog, protocol: udp, port: [9000, 8000-8099], on: ["2001:db8::/32", 203.0.113.0/24], to: "web:80", existing: never, miss: reject }',
      ),
    ),
  ).toEqual({
    name: "blog",
    protocol: "udp",
    ports: [
      { first: 8000, last: 8099 },
      { first: 9000, last: 9000 },
    ],
    on: ["203.0.113.0/24", "2001:db8::/32"],
    to: [
      { ...web4, port: 80 },
      { ...web6, port: 80 },
    ],
    existing: "never",
    miss: "reject",
  });
});

describe("a destination", () => {
  test.each([
    ["127.0.1.20", { address: "127.0.1.20", port: "same" }],
    ["127.0.1.20:80", { address: "127.0.1.20", port: 80 }],
    ['"[fd5e::1]:80"', { address: "fd5e::1", port: 80 }],
    ['"[FD5E:0::1]"', { address: "fd5e::1", port: "same" }],
    ['"fd5e::1"', { address: "fd5e::1", port: "same" }],
    ['"fd5e::1:80"', { address: "fd5e::1:80", port: "same" }],
    ["ssh:22", { address: "127.0.1.22", port: 22, service: "ssh" }],
    ["ssh", { address: "127.0.1.22", port: "same", service: "ssh" }],
    ['"*:22"', { address: "*", port: 22 }],
    ['"*"', { address: "*", port: "same" }],
  ])("%s", (to, destination) => {
    expect(only(`{ port: 1000, to: ${to} }`).to).toEqual([destination]);
  });

  test("lists keep their order, and services expand in place", () => {
    expect(only('{ port: 1, to: [127.0.9.9:1, web, "*:3"] }').to).toEqual([
      { address: "127.0.9.9", port: 1 },
      { ...web4, port: "same" },
      { ...web6, port: "same" },
      { address: "*", port: 3 },
    ]);
  });
});

describe("ports", () => {
  test.each([
    ["443", "443"],
    ['"443"', "443"],
    ["80-443", "80-443"],
    ["[443, 80, 81]", "80-81,443"],
    ['["*", 80]', "*"],
    ['"*"', "*"],
  ])("%s are %s", (port, formatted) => {
    expect(formatPorts(only(`{ port: ${port}, to: "ssh:22" }`).ports)).toBe(formatted);
  });
});

describe("both protocols make two mappings", () => {
  test("of one name when it was given", () => {
    const { mappings } = ruleSetOf(
      withMappings("{ name: dns, protocol: [tcp, udp], port: 53, to: web }"),
    );
    expect(mappings.map(({ name, protocol }) => [name, protocol])).toEqual([
      ["dns", "tcp"],
      ["dns", "udp"],
    ]);
  });

  test("of two derived names otherwise", () => {
    const { mappings } = ruleSetOf(
      withMappings("{ protocol: [udp, tcp, udp], port: 53, to: web }"),
    );
    expect(mappings.map(({ name }) => name)).toEqual(["udp:53", "tcp:53"]);
  });
});

describe("a derived name says what is matched", () => {
  test.each([
    ["{ port: [443, 80], to: web }", "tcp:80,443"],
    ['{ port: "*", to: web }', "tcp:*"],
    ["{ port: 1, on: 203.0.113.7, to: web }", "tcp:1@203.0.113.7/32"],
    [
      '{ port: 53, on: ["2001:db8::/32", 203.0.113.0/24, 203.0.113.0/24], to: web }',
      "tcp:53@203.0.113.0/24,2001:db8::/32",
    ],
  ])("%s is %s", (entry, name) => {
    expect(only(entry).name).toBe(name);
  });

  const odd = (count: number): string =>
    Array.from({ length: count }, (_, index) => 1001 + index * 2).join(", ");

  test("and is abbreviated with a count and a hash when that is long", () => {
    expect(only(`{ port: [${odd(50)}], to: web }`).name).toMatch(
      /^tcp:1001,1003,1005\+47~[0-9a-f]{12}$/,
    );
    const prefixes = Array.from({ length: 9 }, (_, index) => `203.0.113.${index}`);
    expect(only(`{ port: 80, on: [${prefixes.join(", ")}], to: web }`).name).toMatch(
      /^tcp:80@203\.0\.113\.0\/32\+8~[0-9a-f]{12}$/,
    );
  });

  test("and is the same for the same match, and another for another", () => {
    const name = (ports: string): string => only(`{ port: [${ports}], to: web }`).name;
    const reversed = odd(50).split(", ").toReversed().join(", ");
    expect(name(reversed)).toBe(name(odd(50)));
    expect(name(`${odd(49)}, 60000`)).not.toBe(name(odd(50)));
  });

  test("and never collides with a given one, which cannot have a colon", () => {
    expect(
      problemsOf(withMappings('{ name: "tcp:443", port: 80, to: web }', "{ port: 443, to: web }")),
    ).toEqual([
      'rules.yaml:6:13: mappings[0].name: the name "tcp:443" is not a name; names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit: write "tcp-443"',
    ]);
  });
});

describe("origins are the place of the entry", () => {
  test("in YAML", () => {
    const { services, mappings } = ruleSetOf(
      withMappings(
        "{ port: 1, to: web }",
        "name: two\n    port: 2\n    to: ssh",
        " { port: 3, to: ssh }",
      ),
    );
    expect(services.map(({ origin }) => origin)).toEqual([
      { file: "rules.yaml", line: 3, column: 3 },
      { file: "rules.yaml", line: 4, column: 3 },
    ]);
    expect(mappings.map(({ origin }) => [origin.line, origin.column])).toEqual([
      [6, 5],
      [7, 5],
      [10, 6],
    ]);
  });

  test("in JSON", () => {
    const text = [
      '{"version": 1,',
      '  "services": {',
      '    "ssh": {"address": "127.0.1.22"}},',
      '  "mappings": [{"port": 1, "to": "ssh"},',
      '    {"port": 2, "to": "ssh"}]}',
    ].join("\r\n");
    const { services, mappings } = ruleSetOf(text, "a.json");
    expect([...services, ...mappings].map(({ origin }) => origin)).toEqual([
      { file: "a.json", line: 3, column: 5 },
      { file: "a.json", line: 4, column: 16 },
      { file: "a.json", line: 5, column: 5 },
    ]);
  });
});

test("services are known in all files", () => {
  const { ruleSet } = parseConfiguration([
    { name: "a.json", text: '{"version": 1, "mappings": [{"port": 22, "to": "ssh"}]}' },
    { name: "b.yaml", text: "version: 1\nservices: { ssh: { address: 127.0.1.22 } }" },
  ]);
  expect(ruleSet.mappings.at(0)?.to).toEqual([
    { address: "127.0.1.22", port: "same", service: "ssh" },
  ]);
  expect(ruleSet.mappings.at(0)?.origin.file).toBe("a.json");
});

test("a byte order mark and a JSON document in a .yaml file are no obstacle", () => {
  const json = '{"version": 1, "mappings": [{"port": 22, "to": "*:23"}]}';
  expect(ruleSetOf(`\uFEFF${json}`)).toEqual(ruleSetOf(json));
  expect(ruleSetOf(`\uFEFF${json}`, "a.json").mappings).toHaveLength(1);
});

test("a document may begin and end with markers, and name its schema", () => {
  const text = "%YAML 1.2\n---\n$schema: ./s.json\nversion: 1\nmappings: []\n...\n";
  expect({ ...ruleSetOf(text), mappings: [...ruleSetOf(text).mappings] }).toEqual({
    services: [],
    mappings: [],
  });
});

describe("warnings", () => {
  test("there are none for the usual things", () => {
    expect(
      warningsOf(
        withMappings(
          "{ port: [80, 443], to: web }",
          "{ protocol: [tcp, udp], port: 53, to: web }",
          '{ protocol: udp, port: 5000, to: ["web:5000", "*:5000"] }',
          "{ port: 8080, to: 127.0.1.99:80 }",
          "{ port: 2222, on: 203.0.113.0/24, to: 127.0.1.22 }",
          '{ port: 2223, on: ["2001:db8::/32"], to: web }',
          '{ port: 2224, on: 203.0.113.0/24, to: "*:99" }',
          '{ port: 2226, from: [198.51.100.0/24, "2001:db8::/32"], interface: eth0, to: web }',
          "{ port: 2227, to: [{ address: web, weight: 3 }, { address: ssh, weight: 1 }] }",
          '{ port: 2225, to: "*" }',
        ),
      ),
    ).toEqual([]);
  });

  test("a destination inside its own mapping is no loop, and its meaning is reported", () => {
    expect(
      warningsOf(
        withMappings(
          "{ port: 80, to: [203.0.113.9, 127.0.1.98] }",
          "{ port: 22, on: 127.0.1.0/24, to: ssh }",
          '{ port: 8000-8099, on: "fd5e::/16", to: "[fd5e::1]:8050", existing: never }',
        ),
      ),
    ).toEqual([
      "rules.yaml:6:22: warning: mappings[0].to[0]: the destination 203.0.113.9 is inside its own mapping: no loop, connections to it reach its listener directly, those to other addresses are mapped to it; to keep this mapping off 203.0.113.9, give the other addresses in on",
      "rules.yaml:7:39: warning: mappings[1].to: the destination 127.0.1.22 is inside its own mapping: no loop, connections to it reach its listener directly, those to other addresses are mapped to it; to keep this mapping off 127.0.1.22, leave it out of on",
      "rules.yaml:8:45: warning: mappings[2].to: the destination [fd5e::1]:8050 is inside its own mapping: no loop, connections to it are mapped like all others, to the same listener; to keep this mapping off fd5e::1, leave it out of on",
    ]);
  });

  test("a daemon on a private address without a service, at the same port, is no warning", () => {
    const text = `version: 1
mappings:
  - { port: 80, to: 127.0.1.10 }
  - { port: 81, to: ["fd5e::1", "127.0.1.11:81"], existing: never }
`;
    expect(warningsOf(text)).toEqual([]);
  });

  test("a destination that is in the list twice is left out", () => {
    const text = withMappings("{ port: 1, to: [web, 127.0.1.10, ssh] }");
    expect(warningsOf(text)).toEqual([
      "rules.yaml:6:26: warning: mappings[0].to[1]: the destination 127.0.1.10 is already in the list; remove it: the first of the two is tried, the second never",
    ]);
    expect(
      ruleSetOf(text)
        .mappings.at(0)
        ?.to.map(({ address }) => address),
    ).toEqual(["127.0.1.10", "fd5e:ed00::10", "127.0.1.22"]);
  });

  test("a destination that the family of on never reaches", () => {
    expect(warningsOf(withMappings('{ port: 1, on: "2001:db8::/32", to: [ssh, "*:22"] }'))).toEqual(
      [
        "rules.yaml:6:42: warning: mappings[0].to[0]: the destination ssh is IPv4 and on has IPv6 prefixes only, so it is never reached; remove it, or add an IPv4 prefix to on",
      ],
    );
  });

  test("no word on a UDP mapping that changes the port: replies get it back", () => {
    expect(warningsOf(withMappings('{ protocol: [tcp, udp], port: 53, to: "web:5353" }'))).toEqual(
      [],
    );
  });

  test("more than a thousand are counted", () => {
    const entries = Array.from(
      { length: 1030 },
      (_, index) => `{ port: ${index + 1}, on: 127.9.9.0/24, to: 127.9.9.9 }`,
    );
    const { warnings } = load(withMappings(...entries));
    expect(warnings).toHaveLength(1001);
    expect(warnings.at(-1)?.message).toBe("and 30 more");
  });
});

describe.each([
  { key: "engine", values: ["auto", "kfunc", "registry"], wrong: "ebpf" },
  { key: "mptcp", values: ["on", "off"], wrong: "false" },
] as const)("$key, which is said once", ({ key, values, wrong }) => {
  const text = (line: string): string => `version: 1\n${line}mappings: []\n`;

  test("is left to ilm when the document does not say", () => {
    expect(ruleSetOf(text(""))[key]).toBeUndefined();
  });

  test.each(values)("may be %s", (value) => {
    expect(ruleSetOf(text(`${key}: ${value}\n`))[key]).toBe(value);
  });

  test("is one for several files", () => {
    const [, said = "", other = ""] = [...values, ...values];
    const files = (second: string): readonly { name: string; text: string }[] => [
      { name: "10.yaml", text: text(`${key}: ${said}\n`) },
      { name: "20.yaml", text: text(second) },
    ];
    expect(parseConfiguration(files("")).ruleSet[key]).toBe(said);
    expect(parseConfiguration(files(`${key}: ${said}\n`)).ruleSet[key]).toBe(said);
    expect(refusal(() => parseConfiguration(files(`${key}: ${other}\n`)))).toEqual([
      `20.yaml:2:${key.length + 3}: ${key}: ${key} is ${said} in 10.yaml already; set it once, or to the same value in all files`,
    ]);
  });

  test("cannot be anything else, and the error says what would be right", () => {
    expect(problemsOf(text(`${key}: ${wrong}\n`))).toEqual([
      expect.stringContaining(`write ${key}: `),
    ]);
  });

  test("is heeded in a file of any length", () => {
    const mappings = Array.from(
      { length: 150 },
      (_, i) => `  - { port: ${1000 + i}, to: 127.0.1.10 }`,
    );
    const [value] = values;
    const lines = ["version: 1", `${key}: ${value}`, "mappings:", ...mappings, ""];
    expect(ruleSetOf(lines.join("\n"))[key]).toBe(value);
  });
});
