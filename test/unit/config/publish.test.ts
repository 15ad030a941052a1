// Goal: what a service publishes means exactly what a mapping that leads to it means, and is named,
// refused and placed by the item that says it.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { parseConfiguration } from "../../../src/config/parse.js";
import { mappingKeys } from "../../../src/config/publish-meant.js";
import { mappingEntry, serviceEntry } from "../../../src/config/schema.js";
import type { RuleSet } from "../../../src/model/rules.js";
import { load, meaning, problemsOf, refusal, ruleSetOf, warningsOf } from "./support.js";

const withService = (keys: string): string =>
  `version: 1\nservices:\n  web: { address: 127.0.1.10, ${keys} }\n`;

function meaningOf({ mappings }: RuleSet): unknown[] {
  return mappings.map(meaning);
}

describe("what a service publishes", () => {
  const rows: readonly (readonly [keys: string, ...mappings: string[]])[] = [
    ["publish: 443", "port: 443"],
    ["publish: [80, 443]", "port: 80", "port: 443"],
    ["publish: 53/udp", "port: 53, protocol: udp"],
    ["publish: [53/tcp, 53/udp]", "port: 53", "port: 53, protocol: udp"],
    ["publish: [8000-8099, 443]", "port: 8000-8099", "port: 443"],
    ['publish: ["*", "*/udp"]', 'port: "*"', 'port: "*", protocol: udp'],
    ["publish: { 80: 2368 }", 'port: 80, to: "web:2368"'],
    [
      "publish: { 443: 8443, 53/udp: 5353, 8000-8099: 80 }",
      'port: 443, to: "web:8443"',
      'port: 53, protocol: udp, to: "web:5353"',
      'port: 8000-8099, to: "web:80"',
    ],
    ["publish: 443, on: 203.0.113.7", "port: 443, on: 203.0.113.7"],
    [
      "publish: [80, 443/udp], on: [203.0.113.7, 198.51.100.0/24]",
      "port: 80, on: [203.0.113.7, 198.51.100.0/24]",
      "port: 443, protocol: udp, on: [203.0.113.7, 198.51.100.0/24]",
    ],
    ["publish: 443, handover: lookup", "port: 443"],
  ];
  test.each(rows)("by %s is what mappings say", (keys, ...entries) => {
    const handover = keys.includes("handover") ? ", handover: lookup" : "";
    const long = entries.map(
      (entry) => `  - { ${entry}${entry.includes("to:") ? "" : ", to: web"} }\n`,
    );
    const services = `version: 1\nservices:\n  web: { address: 127.0.1.10${handover} }\nmappings:\n`;
    const expected = ruleSetOf(services + long.join(""));
    expect(meaningOf(ruleSetOf(withService(keys)))).toEqual(meaningOf(expected));
  });

  test("is named as a mapping without a name is, and has the item's place", () => {
    const text = [
      "version: 1",
      "services:",
      "  dns:",
      "    address: 127.0.1.53",
      "    publish:",
      "      - 53",
      "      - 53/udp",
      "  blog:",
      "    address: 127.0.1.80",
      "    publish:",
      "      80: 2368",
      "    on: 203.0.113.7",
    ].join("\n");
    const { mappings } = ruleSetOf(text);
    expect(mappings.map(({ name, origin: { line, column } }) => [name, line, column])).toEqual([
      ["tcp:53", 6, 9],
      ["udp:53", 7, 9],
      ["tcp:80@203.0.113.7/32", 11, 7],
    ]);
  });

  test("is the same in JSON, in NDJSON, and in one of several files", () => {
    const services = { web: { address: "127.0.1.10", publish: { 80: 8080, "53/udp": 5353 } } };
    const entry = { port: 22, to: "web" };
    const json = JSON.stringify({ version: 1, services, mappings: [entry] });
    const lines = `${JSON.stringify({ version: 1, services })}\n${JSON.stringify(entry)}\n`;
    const files = [
      { name: "a.yaml", text: JSON.stringify({ version: 1, mappings: [entry] }) },
      { name: "b.json", text: JSON.stringify({ version: 1, services }) },
    ];
    const whole = ruleSetOf(`${json}\n#`);
    expect(whole.mappings.map(({ name }) => name)).toEqual(["tcp:80", "udp:53", "tcp:22"]);
    expect(meaningOf(ruleSetOf(json, "a.json"))).toEqual(meaningOf(whole));
    const streamed = ruleSetOf(lines, "a.ndjson");
    expect(meaningOf(streamed)).toEqual(meaningOf(whole));
    expect(streamed.mappings.map(({ origin }) => origin.line)).toEqual([1, 1, 2]);
    const { mappings } = parseConfiguration(files).ruleSet;
    expect(mappings.map(({ name, origin }) => [name, origin.file])).toEqual([
      ["tcp:22", "a.yaml"],
      ["tcp:80", "b.json"],
      ["udp:53", "b.json"],
    ]);
  });

  test("is all that a configuration needs", () => {
    const { mappings, services } = ruleSetOf(withService("publish: 443"));
    expect(mappings.length).toBe(1);
    expect(services[0]).not.toHaveProperty("publish");
    expect(services[0]).not.toHaveProperty("on");
  });

  test("never differs from its long form", () => {
    const port = fc.integer({ min: 1, max: 65535 });
    const ports = fc.oneof(
      port.map(String),
      fc.tuple(port, port).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      fc.constant("*"),
    );
    const item = fc.record({ ports, protocol: fc.constantFrom("", "/tcp", "/udp") });
    const list = fc.array(item, { minLength: 1, maxLength: 5 });
    const on = fc.option(fc.constantFrom("203.0.113.7", "198.51.100.0/24"), { nil: undefined });
    let good = 0;
    fc.assert(
      fc.property(list, fc.option(port), on, (items, own, where) => {
        const dialled = items.map((one) => one.ports + one.protocol);
        const publish =
          own === null ? dialled : Object.fromEntries(dialled.map((key) => [key, own]));
        // Keys that are whole numbers come first, and each once.
        const order = own === null ? dialled : Object.keys(publish);
        const mappings = order.map((text) => {
          const [written, protocol = "tcp"] = text.split("/");
          return { port: written, protocol, on: where, to: own === null ? "web" : `web:${own}` };
        });
        const address = "127.0.1.10";
        const outcome = (document: object): unknown => {
          try {
            return meaningOf(load(JSON.stringify({ version: 1, ...document })).ruleSet);
          } catch {
            return "refused";
          }
        };
        const short = outcome({ services: { web: { address, publish, on: where } } });
        expect(short).toEqual(outcome({ services: { web: { address } }, mappings }));
        if (short !== "refused") good++;
      }),
      { numRuns: 500 },
    );
    expect(good).toBeGreaterThan(300);
  });
});

const FORMS =
  'write 443, 53/udp, "8000-8099", "*", a list of those, or { 443: 8443 } with the service\'s port';
const ONE_PORT = "write the port that the service listens on, as a number such as 8080";

describe("an item that is no port is refused", () => {
  const rows: readonly (readonly [publish: string, problem: string])[] = [
    ["[]", `40: services.web.publish: the list is empty; ${FORMS}`],
    [
      "{}",
      "40: services.web.publish: this publishes nothing; write the ports that clients dial, or remove it",
    ],
    ["", `41: services.web.publish: this is empty; ${FORMS}`],
    ["true", `40: services.web.publish: this is the value true; ${FORMS}`],
    ["[80, null]", `45: services.web.publish[1]: this is empty; ${FORMS}`],
    ["[[80]]", `41: services.web.publish[0]: this is a list; ${FORMS}`],
    [
      "8080:80",
      '40: services.web.publish: "8080:80" is two ports in one text; write publish: { 8080: 80 }',
    ],
    [
      "[80, 8080:80/tcp]",
      '45: services.web.publish[1]: "8080:80/tcp" is two ports in one text; write publish: { 8080: 80 }',
    ],
    [
      "127.0.0.1:53:5353/udp",
      '40: services.web.publish: "127.0.0.1:53:5353/udp" is two ports in one text; write publish: { 53/udp: 5353 }, and on: 127.0.0.1 beside it',
    ],
    ["80:80", '40: services.web.publish: "80:80" is two ports in one text; write 80'],
    [
      "80->8080",
      '40: services.web.publish: "80->8080" is two ports in one text; write publish: { 80: 8080 }',
    ],
    [
      "80=8080",
      '40: services.web.publish: "80=8080" is two ports in one text; write publish: { 80: 8080 }',
    ],
    ["443/TCP", '40: services.web.publish: "TCP" is not a protocol; write 443/tcp'],
    [
      "443/quic",
      '40: services.web.publish: "quic" is not a protocol here: quic goes over udp; write 443/udp',
    ],
    [
      "53/sctp",
      '40: services.web.publish: "sctp" is not supported; write tcp or udp: the kernel asks ilm about these two only',
    ],
    [
      "53/tcp+udp",
      '40: services.web.publish: "tcp+udp" is not a protocol; write a list: [53/tcp, 53/udp]',
    ],
    [
      '"53/tcp,udp"',
      '40: services.web.publish: "tcp,udp" is not a protocol; write a list: [53/tcp, 53/udp]',
    ],
    ["udp:53", '40: services.web.publish: "udp:53" is a port with a protocol; write 53/udp'],
    ["tcp/53", '40: services.web.publish: "tcp/53" is a port with a protocol; write 53'],
    [
      "080",
      "40: services.web.publish: 080 is not a plain decimal number; write 80: whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
    [
      '"080"',
      '40: services.web.publish: the port "080" has a leading zero, which some programs read as octal; write 80',
    ],
    ["080/udp", '40: services.web.publish: "080/udp" is not a published port; write 80/udp'],
    [
      "http",
      '40: services.web.publish: "http" is a name, and a port is a number; write 80, the port of http',
    ],
    [
      '"80,443"',
      '40: services.web.publish: "80,443" is several ports in one text; write a list: [80, 443]',
    ],
    [
      '"80,443/udp"',
      '40: services.web.publish: "80,443/udp" is not a published port; write a list: [80/udp, 443/udp]',
    ],
    ["90-80", '40: services.web.publish: the port range 90-80 is reversed; write "80-90"'],
    ["0", "40: services.web.publish: the port 0 does not exist; a port is 1 to 65535"],
    [
      "127.1",
      "40: services.web.publish: 127.1 is not a plain decimal number; write whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
    [
      "0.0.0.0:80",
      '40: services.web.publish: "0.0.0.0:80" is more than a port; write 80: without on, it is for every local address',
    ],
    [
      "203.0.113.7:80",
      '40: services.web.publish: "203.0.113.7:80" is more than a port; write 80, and on: 203.0.113.7 beside publish',
    ],
    [
      "localhost:80",
      '40: services.web.publish: "localhost:80" is more than a port; write 80, and on: [127.0.0.1, "::1"] beside publish',
    ],
    [
      "eth0:80",
      '40: services.web.publish: "eth0:80" is more than a port; write a mapping instead, under mappings: { port: 80, interface: eth0, to: web }',
    ],
    ["web:80", `40: services.web.publish: "web:80" is more than a port; ${FORMS}`],
    ['""', `40: services.web.publish: "" is not a port; ${FORMS}`],
    ["/udp", `40: services.web.publish: "/udp" is not a port; ${FORMS}`],
    [
      "{ 80: }",
      "46: services.web.publish.80: this is empty; write the service's port: { 80: 8080 }; or a list, for the port that was dialled: [80]",
    ],
    ["{ 80: web }", `46: services.web.publish.80: this is the text "web"; ${ONE_PORT}`],
    ['{ 80: "8080" }', '46: services.web.publish.80: this is the text "8080"; write 8080'],
    ["{ 80: [1, 2] }", `46: services.web.publish.80: this is a list; ${ONE_PORT}`],
    [
      "{ 80: 70000 }",
      "46: services.web.publish.80: the port 70000 does not exist; a port is 1 to 65535",
    ],
    [
      "{ http: 80 }",
      '42: services.web.publish.http: "http" is a name, and a port is a number; write 80, the port of http',
    ],
    ["{ 80/TCP: 80 }", '42: services.web.publish["80/TCP"]: "TCP" is not a protocol; write 80/tcp'],
    [
      "{ port: 443 }",
      '42: services.web.publish.port: "port" is a key of mappings, and publish has ports alone; write publish: 443, or publish: { 443: 8443 }; for all else, write a mapping',
    ],
    [
      "[{ 80: 8080 }]",
      "41: services.web.publish[0]: this is a group of keys; write one group instead of a list: publish: { 80: 8080 }",
    ],
    [
      "[{ port: 443, from: 10.0.0.0/8 }]",
      "41: services.web.publish[0]: this is a group of keys; write a mapping instead, under mappings: { port: 443, from: 10.0.0.0/8, to: web }",
    ],
  ];
  test.each(rows)("as in publish: %s", (publish, problem) => {
    expect(problemsOf(withService(`publish: ${publish}`))).toEqual([`rules.yaml:3:${problem}`]);
  });
});

describe("a service is refused", () => {
  const rows: readonly (readonly [keys: string, problem: string])[] = [
    [
      "on: 203.0.113.7",
      "31: services.web.on: on is about what the service publishes, and it publishes nothing; add publish, such as publish: 443, or write on in the mappings that lead to web",
    ],
    [
      "publish: 80, on: eth0",
      '48: services.web.on: "eth0" is not an address but looks like the name of an interface; write a mapping instead, under mappings: { port: 443, interface: eth0, to: web }',
    ],
    [
      'publish: [80, 443], on: ["2001:db8::1"]',
      "56: services.web.on[0]: on has IPv6 prefixes only and the destinations IPv4 addresses only, and an IPv6 connection cannot go to an IPv4 listener on an address of its own; add the daemon's IPv6 address, or an IPv4 prefix to on",
    ],
    [
      "publish: 8443, from: 10.0.0.0/8",
      '46: services.web.from: the key "from" is not known; write a mapping instead, under mappings: { port: 8443, from: 10.0.0.0/8, to: web }',
    ],
    [
      "publish: [80, 443], interface: [eth0, eth1]",
      '51: services.web.interface: the key "interface" is not known; write a mapping instead, under mappings: { port: [80, 443], interface: eth0, to: web }',
    ],
    [
      "publish: 53/udp, miss: reject",
      '48: services.web.miss: the key "miss" is not known; write a mapping instead, under mappings: { port: 443, miss: reject, to: web }',
    ],
    [
      "publish: 80, to: other",
      '44: services.web.to: the key "to" is not known; leave it out: what is published leads to the service; for another port, write publish: { 443: 8443 }',
    ],
    [
      "port: 80",
      '31: services.web.port: the key "port" is not known; write publish, with the ports that clients dial, as in publish: 443 or publish: { 443: 8443 }',
    ],
    [
      "protocol: udp",
      '31: services.web.protocol: the key "protocol" is not known; write the protocol after the port that is published, as in publish: 53/udp',
    ],
  ];
  test.each(rows)("with %s", (keys, problem) => {
    expect(problemsOf(withService(keys))).toEqual([`rules.yaml:3:${problem}`]);
  });

  test("with any key of mappings that publish does without", () => {
    const shared = Object.keys(serviceEntry.shape);
    const others = Object.keys(mappingEntry.shape).filter((key) => !shared.includes(key));
    expect(others.toSorted()).toEqual(mappingKeys.toSorted());
  });
});

describe("what is published twice is refused, with both lines", () => {
  test("by one service", () => {
    expect(problemsOf(withService("publish: [80, 80/tcp]"))).toEqual([
      "rules.yaml:3:45: services.web.publish[1]: tcp:80 at rules.yaml:3:45 is mapped at rules.yaml:3:41 already; remove one of the two",
    ]);
  });

  test("by two services", () => {
    const other = "  other: { address: 127.0.1.11, publish: { 80: 8080 } }\n";
    expect(problemsOf(withService("publish: 80") + other)).toEqual([
      "rules.yaml:4:44: services.other.publish.80: tcp:80 at rules.yaml:4:44 is mapped at rules.yaml:3:40 already; remove one of the two, or write one mapping with the destinations of both",
    ]);
  });

  test("by a service and a mapping", () => {
    const mapping = "mappings:\n  - { port: 80, to: web }\n";
    expect(problemsOf(withService("publish: 80") + mapping)).toEqual([
      "rules.yaml:5:5: mappings[0]: tcp:80 at rules.yaml:5:5 is mapped at rules.yaml:3:40 already; remove one of the two",
    ]);
  });

  test("but a service that is defined twice is refused once", () => {
    const files = ["a.yaml", "b.yaml"].map((name) => ({ name, text: withService("publish: 80") }));
    expect(refusal(() => parseConfiguration(files))).toEqual([
      "b.yaml:3:3: services.web: the service web is defined at a.yaml:3:3 already; give one of the two another name, or define it once with all its addresses",
    ]);
  });
});

test("on with the service's own address is a warning at its place", () => {
  expect(warningsOf(withService("publish: [80, 443], on: 127.0.1.10"))).toEqual([
    "rules.yaml:3:55: warning: services.web.on: the destination 127.0.1.10 is inside its own mapping: no loop, connections to it reach its listener directly, those to other addresses are mapped to it; to keep this mapping off 127.0.1.10, leave it out of on",
  ]);
});
