/**
 * What is refused: every kind of bad document, each with its place, what is wrong, and what would
 * be right.
 */
import { describe, expect, test } from "vitest";

import { IlmError } from "../../../src/errors.js";
import { parseConfiguration } from "../../../src/config/parse.js";
import { NAME, problemsOf, refusal, withMappings } from "./support.js";

/** The text, and the problems without the file's name. */
type Row = readonly [text: string, problems: readonly string[]];

function refuses(rows: readonly Row[], complete: (text: string) => string, name: string): void {
  test.each(rows.map(([text, problems]) => [text.slice(0, 90), text, problems] as const))(
    "%j",
    (_title, text, problems) => {
      expect(problemsOf(complete(text), name)).toEqual(problems.map((line) => `${name}:${line}`));
    },
  );
}

const asItIs = (text: string): string => text;

const documents: readonly Row[] = [
  ["", [' the file is empty; write "version: 1" and "mappings: []" to say nothing']],
  ["  \n\t\n", [' the file is empty; write "version: 1" and "mappings: []" to say nothing']],
  ["# nothing\n", ['1:1: the file is empty; write "version: 1" and "mappings: []" to say nothing']],
  ["---\n", ['1:4: the file is empty; write "version: 1" and "mappings: []" to say nothing']],
  ["null", ['1:1: the file is empty; write "version: 1" and "mappings: []" to say nothing']],
  ["[]", ["1:1: this is a list; write version: 1, services and mappings"]],
  ["hello", ['1:1: this is the text "hello"; write version: 1, services and mappings']],
  ["42", ["1:1: this is the number 42; write version: 1, services and mappings"]],
  ["mappings: []", ["1:1: version is missing; write version: 1"]],
  ["version: 1", ["1:1: the document is empty; write mappings: [] for no mappings"]],
  [
    "version: 1\nengine: auto",
    ["1:1: there are settings, and no mappings; write mappings: [] for no mappings"],
  ],
  [
    "version: 2\nmappings: []",
    ["1:10: version: version 2 is not known to this ilm; write version: 1"],
  ],
  [
    'version: "1"\nmappings: []',
    ['1:10: version: version "1" is not known to this ilm; write version: 1'],
  ],
  [
    "version: 1.0\nmappings: []",
    [
      "1:10: version: 1.0 is not a plain decimal number; write 1: whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  ["version:\nmappings: []", ["1:9: version: this is empty; write version: 1"]],
  [
    "version: 1\nmappings:\n",
    [
      "2:10: mappings: this is empty; write a list of mappings, such as [{ port: 443, to: web }], or [] for none",
    ],
  ],
  [
    "version: 1\nservices:\nmappings: []",
    [
      "2:10: services: this is empty; write names with their addresses, such as web: { address: 127.0.1.10 }",
    ],
  ],
  [
    "version: 1\nmappings: {}",
    [
      "2:11: mappings: this is a group of keys; write a list of mappings, such as [{ port: 443, to: web }], or [] for none",
    ],
  ],
  [
    "version: 1\nservices: []",
    [
      "2:11: services: this is a list; write names with their addresses, such as web: { address: 127.0.1.10 }",
    ],
  ],
  [
    "version: 1\nmapings: []\nserivces: {}",
    [
      '2:1: mapings: the key "mapings" is not known; did you mean mappings?',
      '3:1: serivces: the key "serivces" is not known; did you mean services?',
    ],
  ],
  [
    "version: 1\nmappings: []\nlisten: 80",
    ['3:1: listen: the key "listen" is not known; write mappings'],
  ],
  [
    "version: 1\nmappings: []\n__proto__: {}",
    ['3:1: __proto__: the key "__proto__" is not known; remove it'],
  ],
  [
    "version: 1\nmappings: []\n$schema: 1",
    ["3:10: $schema: this is the number 1; write the schema's location as a text"],
  ],
];

describe("a document that is none of ours is refused", () => {
  refuses(documents, asItIs, NAME);
});

const yaml: readonly Row[] = [
  [
    "version: 1\nmappings: []\nmappings: []",
    ['3:1: mappings: the key "mappings" is here twice; remove one of the two'],
  ],
  [
    "version: 1\nmappings: &all []",
    [
      '2:11: mappings: the anchor "&all" is not taken here; remove it, and write the value out where it is needed',
    ],
  ],
  [
    "version: 1\nservices: { a: &x { address: 127.0.1.1 }, b: *x }",
    [
      '2:16: services.a: the anchor "&x" is not taken here; remove it, and write the value out where it is needed',
      '2:46: services.b: *x is a YAML alias, which is not taken here; if the text is meant, put it between double quotes: "*x"',
    ],
  ],
  [
    "version: 1\nmappings: *nowhere",
    [
      '2:11: mappings: *nowhere is a YAML alias, which is not taken here; if the text is meant, put it between double quotes: "*nowhere"',
    ],
  ],
  [
    "version: 1\n<<: { mappings: [] }",
    [
      "1:1: the document is empty; write mappings: [] for no mappings",
      '2:1: the merge key "<<" is not taken here; write the keys out',
    ],
  ],
  [
    "version: !!int 1\nmappings: !list []",
    [
      '1:11: version: the tag "!!int" is not taken here; remove it',
      '2:11: mappings: the tag "!list" is not taken here; remove it',
    ],
  ],
  [
    "version: 1\nmappings: []\n---\nversion: 1\nmappings: []",
    [
      '3:1: a second document begins here; one file holds one document: remove the "---", or use a folder of files',
    ],
  ],
  [
    "%YAML 1.1\n---\nversion: 1\nmappings: []",
    [
      '1:1: YAML 1.1 is asked for, in which "on" and 010 mean something else; remove the %YAML line',
    ],
  ],
  [
    "version: 1\nmappings:\n  - { port: *, to: web }",
    ['3:13: this is not YAML: alias cannot be an empty string; write "*" between double quotes'],
  ],
  [
    "version: 1\nmappings:\n\t- { port: 1, to: web }",
    ["3:1: this is not YAML: tabs are not allowed as indentation; indent with spaces"],
  ],
  [
    'version: 1\nmappings:\n  - { port: 80, to: "127.0.',
    ['3:28: this is not YAML: missing closing "quote; the file ends too early: it may be cut off'],
  ],
  [
    "version: 1\nmappings:\n  - { port: 80, to: [127.0.1.1",
    [
      "3:31: this is not YAML: flow sequence in block collection must be sufficiently indented and end with a ]; the file ends too early: it may be cut off",
    ],
  ],
  [
    "version: 1\nservices:\n  a:\n    address: fd5e::",
    [
      "4:14: this is not YAML: nested mappings are not allowed in compact mappings; put texts with any of : [ ] { } , & * # ! | > ' \" % @ in them between double quotes",
    ],
  ],
  [
    "version: 1\nmappings:\n  - port: 1\n    to: [::1]:80",
    [
      '4:14: this is not YAML: unexpected scalar at node end; write "[::1]:80", with the double quotes',
    ],
  ],
  [
    "version: 1\nmappings:\n  - port: 1\n   to: web",
    [
      "4:1: this is not YAML: sequence item without - indicator; a bracket, comma, colon or quote is missing",
    ],
  ],
  [
    "version: 1\nmappings: []\n? [a, b]\n: 1",
    ["3:3: a list or a group of keys is where a key should be; keys are plain words"],
  ],
  [
    'version: 1\nmappings: "\\q"',
    ['2:12: this is not YAML: invalid escape sequence \\q; write "\\\\" for a backslash'],
  ],
  [
    `version: 1\na: ${"{a: ".repeat(40)}${"}".repeat(40)}`,
    [
      '2:1: a: the key "a" is not known; the keys here are version, engine, mptcp, strangers, wildcard, ula, anyip, floating, services, mappings',
      "2:128: the document is nested more than 32 levels deep; a configuration needs no more than five",
    ],
  ],
  [
    "[".repeat(20_000),
    [
      "1:1: the document is nested more than 32 levels deep; a configuration needs no more than five",
    ],
  ],
  [
    "version: 1\nmappings: \u0000",
    ["2:11: the file is not text: it has a NUL byte; give a YAML or JSON file"],
  ],
];

describe("YAML that says something else than one reads is refused", () => {
  refuses(yaml, asItIs, NAME);
});

const json: readonly Row[] = [
  ['{"version": 1, "mappings": [],}', ["1:31: a comma is followed by nothing; remove the comma"]],
  [
    '{"version": 1, "mappings": []',
    ['1:30: the document ends where "," or "}" is expected; the file may be cut off'],
  ],
  [
    '{"version": 1, "mappings": [] "services": {}}',
    [
      '1:31: this is not JSON: "\\"" found where "," or "}" is expected; correct it, or name the file .yaml if it is YAML',
    ],
  ],
  [
    '{"version": 1, mappings: []}',
    [
      '1:16: this is not JSON: "mappings" found where a key in double quotes is expected; correct it, or name the file .yaml if it is YAML',
    ],
  ],
  [
    "{'version': 1}",
    [
      '1:2: this is not JSON: "\'" found where a key in double quotes is expected; correct it, or name the file .yaml if it is YAML',
    ],
  ],
  [
    '{"version": 1, "mappings": []} {}',
    ["1:32: there is more text after the end of the JSON document; one file holds one document"],
  ],
  [
    '{"version": 01, "mappings": []}',
    [
      '1:14: this is not JSON: "1" found where "," or "}" is expected; correct it, or name the file .yaml if it is YAML',
    ],
  ],
  [
    '{"version": 1e0, "mappings": []}',
    [
      "1:13: version: 1e0 is not a plain decimal number; write whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  [
    '{"version": 1,\n "version": 1, "mappings": []}',
    ['2:2: version: the key "version" is here twice; remove one of the two'],
  ],
  [
    '{"version": 1, "mappings": [{"port": 1, "to": "*", "po\\u0072t": 2}]}',
    ['1:52: mappings[0].port: the key "port" is here twice; remove one of the two'],
  ],
  ['{"version": 1, "mappings": [1, ]}', ["1:32: a comma is followed by nothing; remove the comma"]],
  [
    '{"version": 1, "mapp',
    ["1:16: a text in double quotes is never closed; the file may be cut off"],
  ],
  [
    '{"version": 1, "a\\x": 1}',
    ['1:18: this is not an escape that JSON has; write "\\\\" for a backslash'],
  ],
  [
    '{"version": 1, "a\nb": 1}',
    [
      "1:18: a text in double quotes is not closed on its line; close it, or write control characters as \\uXXXX",
    ],
  ],
  [
    '{"version": 1, "mappings": [/* none */]}',
    [
      '1:29: this is not JSON: "/" found where a value is expected; correct it, or name the file .yaml if it is YAML',
    ],
  ],
  [
    '{"version": tru}',
    [
      '1:13: this is not JSON: "tru" found where a value is expected; correct it, or name the file .yaml if it is YAML',
    ],
  ],
  [
    '{"__proto__": {}, "version": 1, "mappings": []}',
    ['1:2: __proto__: the key "__proto__" is not known; remove it'],
  ],
  [
    `{"version": 1, "mappings": ${"[".repeat(100_000)}`,
    [
      "1:59: the document is nested more than 32 levels deep; a configuration needs no more than five",
    ],
  ],
];

describe("what is not JSON in a .json file is refused where it stops being JSON", () => {
  refuses(json, asItIs, "rules.json");
});

const services: readonly Row[] = [
  [
    "none: { address: 127.0.1.10 }",
    [
      '3:3: services.none: the service name "none" stands for no destination; to: none refuses connections; give the service another name',
    ],
  ],
  [
    "web: { address: 127.1 }",
    ['3:19: services.web.address: "127.1" is a short form; write all four octets: 127.0.0.1'],
  ],
  [
    "web: { address: [127.0.1.1, 010.0.0.1] }",
    [
      '3:31: services.web.address[1]: "010.0.0.1" has the octet "010" with a leading zero, which some programs read as octal; write 10.0.0.1 if decimal is meant',
    ],
  ],
  [
    "web: { address: fe80::1 }",
    [
      "3:19: services.web.address: fe80::1 is a link-local address, which cannot be a service address; write a unicast address, such as fd5e:ed00::10",
    ],
  ],
  [
    'web: { address: "fe80::1%lo" }',
    [
      '3:19: services.web.address: "fe80::1%lo" has a zone, which addresses here cannot have; write fe80::1',
    ],
  ],
  [
    'web: { address: "::ffff:127.0.0.1" }',
    [
      '3:19: services.web.address: "::ffff:127.0.0.1" is a v4-mapped address; write it as IPv4: 127.0.0.1',
    ],
  ],
  [
    "web: { address: 0.0.0.0 }",
    [
      "3:19: services.web.address: 0.0.0.0 is the wildcard, not the address of one daemon; write an address of its own, such as 127.0.1.10",
    ],
  ],
  [
    'web: { address: "::" }',
    [
      "3:19: services.web.address: :: is the wildcard, not the address of one daemon; write an address of its own, such as 127.0.1.10",
    ],
  ],
  [
    "web: { address: 224.0.0.1 }",
    [
      "3:19: services.web.address: 224.0.0.1 is a multicast address, which cannot be a service address; write a unicast address, such as 127.0.1.10",
    ],
  ],
  [
    'web: { address: "ff02::1" }',
    [
      "3:19: services.web.address: ff02::1 is a multicast address, which cannot be a service address; write a unicast address, such as fd5e:ed00::10",
    ],
  ],
  [
    "web: { address: 255.255.255.255 }",
    [
      "3:19: services.web.address: 255.255.255.255 is a broadcast address, which cannot be a service address; write a unicast address, such as 127.0.1.10",
    ],
  ],
  [
    "web: { address: 127.0.1.0/24 }",
    [
      '3:19: services.web.address: "127.0.1.0/24" is a prefix, one address is needed; write 127.0.1.0',
    ],
  ],
  [
    "web: { address: 127.0.1.1:80 }",
    [
      '3:19: services.web.address: "127.0.1.1:80" has a port, and an address alone is needed; write 127.0.1.1; a port goes into to: of a mapping',
    ],
  ],
  [
    "web: { address: localhost }",
    [
      '3:19: services.web.address: "localhost" is a name, and names are not looked up; write an address of the daemon\'s own, such as 127.0.1.10: others listen on 127.0.0.1 too',
    ],
  ],
  [
    "web: { address: [] }",
    [
      '3:19: services.web.address: the list is empty; write an address such as 127.0.1.10 or "fd5e:ed00::10", auto, or a list of them',
    ],
  ],
  [
    "web: { address: }",
    [
      '3:19: services.web.address: this is empty; write an address such as 127.0.1.10 or "fd5e:ed00::10", auto, or a list of them',
    ],
  ],
  [
    "web: { address: 5 }",
    [
      '3:19: services.web.address: this is the number 5; write an address such as 127.0.1.10 or "fd5e:ed00::10", auto, or a list of them',
    ],
  ],
  [
    "web: {}",
    [
      '3:8: services.web: address is missing; write an address such as 127.0.1.10 or "fd5e:ed00::10", auto, or a list of them',
    ],
  ],
  ["web:", ["3:7: services.web: this is empty; write { address: 127.0.1.10 }"]],
  [
    "web: 127.0.1.1",
    ['3:8: services.web: this is the text "127.0.1.1"; write { address: 127.0.1.1 }'],
  ],
  [
    "web: { addres: 127.0.1.1 }",
    [
      '3:8: services.web: address is missing; write an address such as 127.0.1.10 or "fd5e:ed00::10", auto, or a list of them',
      '3:10: services.web.addres: the key "addres" is not known; did you mean address?',
    ],
  ],
  [
    "web: { address: 127.0.1.1, port: 80 }",
    [
      '3:30: services.web.port: the key "port" is not known; write publish, with the ports that clients dial, as in publish: 443 or publish: { 443: 8443 }',
    ],
  ],
  [
    "Web_1: { address: 127.0.1.1 }",
    [
      '3:3: services.Web_1: the service name "Web_1" is not a name; names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit: write "web_1"',
    ],
  ],
  [
    "-web: { address: 127.0.1.1 }",
    [
      '3:3: services.-web: the service name "-web" is not a name; names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit: write "web"',
    ],
  ],
  [
    '"": { address: 127.0.1.1 }',
    [
      '3:3: services[""]: the service name is empty; names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit',
    ],
  ],
  [
    "127.0.1.1: { address: 127.0.1.1 }",
    [
      '3:3: services["127.0.1.1"]: the service name "127.0.1.1" reads like an address; give it a name with a letter',
    ],
  ],
  [
    "12: { address: 127.0.1.1 }",
    ['3:3: services.12: the service name "12" reads like an address; give it a name with a letter'],
  ],
  [
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: { address: 127.0.1.1 }",
    [
      '3:3: services["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]: the service name "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" has 65 characters; a name has at most 64',
    ],
  ],
  [
    "web: { address: [127.0.1.1, 127.0.1.1] }",
    ["3:31: services.web.address[1]: 127.0.1.1 is already in the list; remove it"],
  ],
  [
    'web: { address: "fd5e::1" }\n  dns: { address: [127.0.1.1, "FD5E:0::1"] }',
    [
      "4:31: services.dns.address[1]: fd5e::1 is the address of the service web at rules.yaml:3:3 already; an address belongs to one service: give dns another one",
    ],
  ],
  [
    "web: { address: 127.0.1.1 }\n  web: { address: 127.0.1.2 }",
    ['4:3: services.web: the key "web" is here twice; remove one of the two'],
  ],
];

describe("a service that is wrong is refused", () => {
  refuses(services, (service) => `version: 1\nservices:\n  ${service}\n`, NAME);
});

const mappings: readonly Row[] = [
  [
    "{ port: 80, to: [web, none] }",
    [
      "6:27: mappings[0].to[1]: none refuses connections, and there are other destinations; write to: none alone; or leave none out, and write miss: reject",
    ],
  ],
  [
    "{ port: 80, to: { address: none, weight: 1 } }",
    [
      "6:21: mappings[0].to: none refuses all connections, and has no share of them; write to: none, without a weight",
    ],
  ],
  [
    "{ port: 80, to: none, miss: pass, handover: ingress }",
    [
      "6:33: mappings[0].miss: miss: pass is about destinations, and to: none has none; leave miss out: what the mapping takes is refused",
      "6:49: mappings[0].handover: handover: ingress is about destinations, and to: none has none; leave handover out: what the mapping takes is refused",
    ],
  ],
  [
    '{ port: 80, to: "none:80" }',
    [
      '6:21: mappings[0].to: "none:80" has a port, and none is no daemon; write none, to refuse connections',
    ],
  ],
  [
    "{ port: 80, to: reject }",
    ["6:21: mappings[0].to: there is no service reject; write none, to refuse connections"],
  ],
  [
    '{ port: 80, to: none, on: 203.0.113.7, from: "2001:db8::/32" }',
    [
      "6:50: mappings[0].from: from has IPv6 prefixes only and on IPv4 ones only, and no connection is both; give from prefixes of the family that on has, or leave one of the two out",
    ],
  ],
  [
    '{ port: 80, to: web, description: "" }',
    [
      "6:39: mappings[0].description: the description is empty; say what it is for, or leave it out",
    ],
  ],
  [
    '{ port: 80, to: web, description: "one\\ntwo" }',
    [
      "6:39: mappings[0].description: the description has several lines; write it in one line; comments of the file may have more",
    ],
  ],
  [
    '{ port: 80, to: web, description: "\\x1b[31mred" }',
    [
      '6:39: mappings[0].description: the description "\\\\u{1b}[31mred" has characters that cannot be shown; write it without control characters and without those that change the direction of text',
    ],
  ],
  [
    `{ port: 80, to: web, description: "${"x".repeat(201)}" }`,
    [
      "6:39: mappings[0].description: the description has 201 characters; a description has at most 200",
    ],
  ],
  [
    "{ port: 80, to: web, description: 7 }",
    [
      '6:39: mappings[0].description: this is the number 7; write a line of text, such as "the shop"',
    ],
  ],
  [
    "{ port: 0, to: web }",
    ["6:13: mappings[0].port: the port 0 does not exist; a port is 1 to 65535"],
  ],
  [
    "{ port: 65536, to: web }",
    ["6:13: mappings[0].port: the port 65536 does not exist; a port is 1 to 65535"],
  ],
  [
    "{ port: -1, to: web }",
    ["6:13: mappings[0].port: the port -1 does not exist; a port is 1 to 65535"],
  ],
  [
    "{ port: 80.5, to: web }",
    [
      "6:13: mappings[0].port: 80.5 is not a plain decimal number; write whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  [
    "{ port: 0x50, to: web }",
    [
      "6:13: mappings[0].port: 0x50 is not a plain decimal number; write whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  [
    "{ port: 0080, to: web }",
    [
      "6:13: mappings[0].port: 0080 is not a plain decimal number; write 80: whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  [
    "{ port: 0o17, to: web }",
    [
      "6:13: mappings[0].port: 0o17 is not a plain decimal number; write whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  [
    "{ port: 1e3, to: web }",
    [
      "6:13: mappings[0].port: 1e3 is not a plain decimal number; write whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  [
    "{ port: .inf, to: web }",
    [
      "6:13: mappings[0].port: .inf is not a plain decimal number; write whole numbers in decimal, without leading zeros, sign, fraction or exponent",
    ],
  ],
  [
    "{ port: 100-80, to: web }",
    ['6:13: mappings[0].port: the port range 100-80 is reversed; write "80-100"'],
  ],
  [
    '{ port: "080", to: web }',
    [
      '6:13: mappings[0].port: the port "080" has a leading zero, which some programs read as octal; write 80',
    ],
  ],
  [
    "{ port: http, to: web }",
    [
      '6:13: mappings[0].port: "http" is a name, and a port is a number; write 80, the port of http',
    ],
  ],
  [
    "{ port: [80, 0, 90-80, http], to: web }",
    [
      "6:18: mappings[0].port[1]: the port 0 does not exist; a port is 1 to 65535",
      '6:21: mappings[0].port[2]: the port range 90-80 is reversed; write "80-90"',
      '6:28: mappings[0].port[3]: "http" is a name, and a port is a number; write 80, the port of http',
    ],
  ],
  [
    "{ port: [], to: web }",
    ['6:13: mappings[0].port: the list is empty; write 443, "8000-8099", "*", or a list of those'],
  ],
  [
    "{ port: , to: web }",
    ['6:13: mappings[0].port: this is empty; write 443, "8000-8099", "*", or a list of those'],
  ],
  [
    "{ port: true, to: web }",
    [
      '6:13: mappings[0].port: this is the value true; write 443, "8000-8099", "*", or a list of those',
    ],
  ],
  [
    "{ port: { from: 1 }, to: web }",
    [
      '6:13: mappings[0].port: this is a group of keys; write 443, "8000-8099", "*", or a list of those',
    ],
  ],
  [
    "{ port: [[80]], to: web }",
    ['6:14: mappings[0].port[0]: this is a list; write 443, "8000-8099", "*", or a list of those'],
  ],
  [
    '{ port: "80,443", to: web }',
    ['6:13: mappings[0].port: "80,443" is several ports in one text; write a list: [80, 443]'],
  ],
  [
    "{ to: web }",
    ['6:5: mappings[0]: port is missing; write 443, "8000-8099", "*", or a list of those'],
  ],
  [
    "{ port: 80 }",
    [
      '6:5: mappings[0]: to is missing; write "127.0.1.10:80", "[fd5e:ed00::10]:80", a service such as web or "web:80", "*:22", or a list of those',
    ],
  ],
  [
    "{}",
    [
      '6:5: mappings[0]: port is missing; write 443, "8000-8099", "*", or a list of those',
      '6:5: mappings[0]: to is missing; write "127.0.1.10:80", "[fd5e:ed00::10]:80", a service such as web or "web:80", "*:22", or a list of those',
    ],
  ],
  ["7", ["6:5: mappings[0]: this is the number 7; write { port: 443, to: web }"]],
  ["web", ['6:5: mappings[0]: this is the text "web"; write { port: 443, to: web }']],
  ["", ["6:5: mappings[0]: this is empty; write { port: 443, to: web }"]],
  ["{ port: 80, to: webb }", ["6:21: mappings[0].to: there is no service webb; did you mean web?"]],
  [
    "{ port: 80, to: nginx }",
    [
      "6:21: mappings[0].to: there is no service nginx; define it under services, or write an address",
    ],
  ],
  [
    "{ port: 80, to: [ssh, wbe:80] }",
    ["6:27: mappings[0].to[1]: there is no service wbe; did you mean web?"],
  ],
  [
    "{ port: 80, to: [] }",
    [
      '6:21: mappings[0].to: the list is empty; write "127.0.1.10:80", "[fd5e:ed00::10]:80", a service such as web or "web:80", "*:22", or a list of those',
    ],
  ],
  [
    "{ port: 80, to: 8080 }",
    [
      '6:21: mappings[0].to: this is the number 8080; write "127.0.1.10:8080", with the address that the daemon listens on, or "*:8080" for a daemon that listens on every address',
    ],
  ],
  [
    '{ port: 80, to: "" }',
    [
      '6:21: mappings[0].to: the destination is empty; write "127.0.1.10", "127.0.1.10:80", "[fd5e:ed00::10]:80", a service, or "*:22"',
    ],
  ],
  [
    "{ port: 80, to: [[web]] }",
    [
      '6:22: mappings[0].to[0]: this is a list; write "127.0.1.10:80", "[fd5e:ed00::10]:80", a service such as web or "web:80", "*:22", or a list of those',
    ],
  ],
  [
    "{ port: 80, to: Web }",
    ['6:21: mappings[0].to: "Web" is neither an address nor the name of a service; write web'],
  ],
  [
    "{ port: 80, to: web:0 }",
    ["6:21: mappings[0].to: the port 0 does not exist; a port is 1 to 65535"],
  ],
  [
    "{ port: 80, to: web:http }",
    ['6:21: mappings[0].to: "http" is a name, and a port is a number; write "web:80"'],
  ],
  [
    '{ port: 80, to: "web:" }',
    [
      '6:21: mappings[0].to: "web:" ends where a port is expected; write "127.0.1.10", "127.0.1.10:80", "[fd5e:ed00::10]:80", a service, or "*:22"',
    ],
  ],
  [
    "{ port: 80, to: 127.0.0.1:65536 }",
    ["6:21: mappings[0].to: the port 65536 does not exist; a port is 1 to 65535"],
  ],
  [
    "{ port: 80, to: 127.0.0.1:080 }",
    [
      '6:21: mappings[0].to: the port "080" has a leading zero, which some programs read as octal; write "127.0.0.1:80"',
    ],
  ],
  [
    "{ port: 80, to: 127.1:80 }",
    ['6:21: mappings[0].to: "127.1" is a short form; write all four octets: 127.0.0.1'],
  ],
  [
    "{ port: 80, to: 127.0.0.010 }",
    [
      '6:21: mappings[0].to: "127.0.0.010" has the octet "010" with a leading zero, which some programs read as octal; write 127.0.0.10 if decimal is meant',
    ],
  ],
  [
    '{ port: 80, to: "[127.0.0.1]:80" }',
    [
      '6:21: mappings[0].to: "[127.0.0.1]:80" has brackets, which are for IPv6 addresses; write "127.0.0.1:80"',
    ],
  ],
  [
    '{ port: 80, to: "[::1" }',
    [
      '6:21: mappings[0].to: "[::1" lacks the closing bracket; write "127.0.1.10", "127.0.1.10:80", "[fd5e:ed00::10]:80", a service, or "*:22"',
    ],
  ],
  [
    '{ port: 80, to: "[::1]80" }',
    ['6:21: mappings[0].to: "[::1]80" is not a destination; write "[::1]:80"'],
  ],
  [
    '{ port: 80, to: "[::ffff:127.0.0.1]:80" }',
    ['6:21: mappings[0].to: "::ffff:127.0.0.1" is a v4-mapped address; write "127.0.0.1:80"'],
  ],
  [
    '{ port: 80, to: "::1:70000" }',
    [
      '6:21: mappings[0].to: "::1:70000" has the group "70000", longer than four digits; an IPv6 address has eight groups of one to four hexadecimal digits',
    ],
  ],
  [
    '{ port: 80, to: "1:2:3:4:5:6:7:8:80" }',
    [
      '6:21: mappings[0].to: "1:2:3:4:5:6:7:8:80" is an IPv6 address with a port, which needs brackets; write "[1:2:3:4:5:6:7:8]:80"',
    ],
  ],
  [
    '{ port: 80, to: "[fe80::1%lo]:80" }',
    [
      '6:21: mappings[0].to: "fe80::1%lo" has a zone, which addresses here cannot have; write fe80::1',
    ],
  ],
  [
    "{ port: 80, to: 0.0.0.0:80 }",
    [
      '6:21: mappings[0].to: 0.0.0.0 is the wildcard, not the address of one daemon; write "*:80" for the daemon that listens on every address, or the one address that it listens on',
    ],
  ],
  [
    '{ port: 80, to: "[::]:80" }',
    [
      '6:21: mappings[0].to: :: is the wildcard, not the address of one daemon; write "*:80" for the daemon that listens on every address, or the one address that it listens on',
    ],
  ],
  [
    "{ port: 80, to: 239.1.1.1 }",
    [
      "6:21: mappings[0].to: 239.1.1.1 is a multicast address, which cannot be a destination; write a unicast address, such as 127.0.1.10",
    ],
  ],
  [
    '{ port: 80, to: "*80" }',
    [
      '6:21: mappings[0].to: "*80" is not a destination; write "*:80" for the daemon that listens on every address, or the one address that it listens on',
    ],
  ],
  [
    '{ port: 80, to: "*:0" }',
    ["6:21: mappings[0].to: the port 0 does not exist; a port is 1 to 65535"],
  ],
  [
    "{ port: 80, to: web ssh }",
    [
      '6:21: mappings[0].to: "web ssh" is several destinations in one text; write a list: [web, ssh]',
    ],
  ],
  [
    "{ port: 80, to: 127.0.0.1/32 }",
    ['6:21: mappings[0].to: "127.0.0.1/32" is a prefix, one address is needed; write 127.0.0.1'],
  ],
  [
    "{ port: 80, to: { address: web } }",
    ["6:21: mappings[0].to: weight is missing; write a whole number, 0 to 1000"],
  ],
  [
    "{ port: 80, on: 203.0.113.5/24, to: web }",
    [
      "6:21: mappings[0].on: 203.0.113.5 has bits set below the prefix length 24; write 203.0.113.0/24 for the network, or 203.0.113.5 for the one address",
    ],
  ],
  [
    "{ port: 80, on: [10.0.0.0/33, 10.0.0.0/08, 127.1], to: web }",
    [
      "6:22: mappings[0].on[0]: the prefix length 33 is more than 32; an IPv4 prefix length is 0 to 32",
      '6:35: mappings[0].on[1]: the prefix length "08" has a leading zero; write 10.0.0.0/8',
      '6:48: mappings[0].on[2]: "127.1" is a short form; write all four octets: 127.0.0.1',
    ],
  ],
  [
    '{ port: 80, on: "fe80::1%lo", to: web }',
    [
      '6:21: mappings[0].on: "fe80::1%lo" has a zone, which addresses here cannot have; write fe80::1',
    ],
  ],
  [
    '{ port: 80, on: "::ffff:10.0.0.0/104", to: web }',
    ['6:21: mappings[0].on: "::ffff:10.0.0.0" is a v4-mapped address; write it as IPv4: 10.0.0.0'],
  ],
  [
    "{ port: 80, on: [], to: web }",
    [
      '6:21: mappings[0].on: the list is empty; write a prefix such as 203.0.113.0/24 or "2001:db8::/32", or a list of them',
    ],
  ],
  [
    "{ port: 80, on: web, to: web }",
    [
      '6:21: mappings[0].on: "web" is not an address; write a prefix such as 203.0.113.0/24; the name of an interface goes into interface: web',
    ],
  ],
  [
    '{ port: 80, on: "::/0", to: ssh }',
    [
      "6:33: mappings[0].to: on has IPv6 prefixes only and the destinations IPv4 addresses only, and an IPv6 connection cannot go to an IPv4 listener on an address of its own; add the daemon's IPv6 address, or an IPv4 prefix to on",
    ],
  ],
  [
    '{ port: 80, on: ["2001:db8::/32"], to: [ssh, 127.0.0.9:80] }',
    [
      "6:45: mappings[0].to[0]: on has IPv6 prefixes only and the destinations IPv4 addresses only, and an IPv6 connection cannot go to an IPv4 listener on an address of its own; add the daemon's IPv6 address, or an IPv4 prefix to on",
    ],
  ],
  [
    "{ port: 80, to: web, protocol: sctp }",
    [
      '6:36: mappings[0].protocol: "sctp" is not supported; write tcp or udp: the kernel asks ilm about these two only',
    ],
  ],
  [
    "{ port: 80, to: web, protocol: tpc }",
    ['6:36: mappings[0].protocol: "tpc" is not a protocol; did you mean tcp?'],
  ],
  [
    "{ port: 80, to: web, protocol: [tcp, icmp] }",
    [
      '6:42: mappings[0].protocol[1]: "icmp" is not supported; write tcp or udp: the kernel asks ilm about these two only',
    ],
  ],
  [
    "{ port: 80, to: web, protocol: 6 }",
    ["6:36: mappings[0].protocol: this is the number 6; write tcp, udp or [tcp, udp]"],
  ],
  [
    "{ port: 80, to: web, protocol: [] }",
    ["6:36: mappings[0].protocol: the list is empty; write tcp, udp or [tcp, udp]"],
  ],
  [
    "{ port: 80, to: web, protocol: TCP }",
    ['6:36: mappings[0].protocol: "TCP" is not a protocol; write tcp'],
  ],
  [
    "{ port: 80, to: web, existing: exat }",
    ['6:36: mappings[0].existing: existing cannot be "exat"; did you mean exact?'],
  ],
  [
    "{ port: 80, to: web, existing: true }",
    ["6:36: mappings[0].existing: existing cannot be true; write exact, any or never"],
  ],
  [
    "{ port: 80, to: web, existing: [exact] }",
    ["6:36: mappings[0].existing: this is a list; write exact, any or never"],
  ],
  [
    "{ port: 80, to: web, miss: drop }",
    ['6:32: mappings[0].miss: miss cannot be "drop"; write pass or reject'],
  ],
  ["{ port: 80, to: web, miss: }", ["6:32: mappings[0].miss: this is empty; write pass or reject"]],
  [
    "{ port: 80, to: web, handover: sockmap }",
    ['6:36: mappings[0].handover: handover cannot be "sockmap"; write auto, lookup or ingress'],
  ],
  [
    "{ port: 80, to: web, name: Big Blog }",
    [
      '6:32: mappings[0].name: the name "Big Blog" is not a name; names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit: write "big-blog"',
    ],
  ],
  [
    '{ port: 80, to: web, name: "" }',
    [
      '6:32: mappings[0].name: the name is empty; names have a-z, 0-9, ".", "_" and "-", and begin with a letter or digit',
    ],
  ],
  [
    "{ port: 80, to: web, name: 5 }",
    ["6:32: mappings[0].name: this is the number 5; write a name such as blog"],
  ],
  [
    "{ port: 80, to: web, name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn }",
    [
      '6:32: mappings[0].name: the name "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" has 65 characters; a name has at most 64',
    ],
  ],
  [
    "{ port: 80, to: web, from: 10.0.0.0/8, interface: eth0, weight: 3 }",
    [
      '6:61: mappings[0].weight: the key "weight" is not known; give the destination a weight: to: [{ address: "127.0.1.10:80", weight: 3 }, ...]',
    ],
  ],
  [
    "{ port: 80, to: web, from: 10.0.0.1/8, interface: [eth0, eth0.far-too-long, a/b] }",
    [
      "6:32: mappings[0].from: 10.0.0.1 has bits set below the prefix length 8; write 10.0.0.0/8 for the network, or 10.0.0.1 for the one address",
      '6:62: mappings[0].interface[1]: "eth0.far-too-long" has 17 bytes, and an interface\'s name at most 15; write a name that `ip link` shows, such as eth0; an alternative name (altname) is not supported',
      '6:81: mappings[0].interface[2]: "a/b" is not the name of an interface; write a name that `ip link` shows, such as eth0',
    ],
  ],
  [
    '{ port: 80, to: web, on: 203.0.113.0/24, from: "2001:db8::/32" }',
    [
      "6:52: mappings[0].from: from has IPv6 prefixes only and on IPv4 ones only, and no connection is both; give from prefixes of the family that on has, or leave one of the two out",
    ],
  ],
  [
    '{ port: 80, on: 203.0.113.0/24, to: "fd5e:ed00::11" }',
    [
      "6:41: mappings[0].to: on has IPv4 prefixes only and the destinations IPv6 addresses only, and an IPv4 connection cannot go to an IPv6 listener on an address of its own; add the daemon's IPv4 address, or an IPv6 prefix to on",
    ],
  ],
  [
    '{ port: 80, from: "2001:db8::/32", to: ssh }',
    [
      "6:44: mappings[0].to: from has IPv6 prefixes only and the destinations IPv4 addresses only, and an IPv6 connection cannot go to an IPv4 listener on an address of its own; add the daemon's IPv6 address, or an IPv4 prefix to from",
    ],
  ],
  [
    "{ port: 80, to: [{ address: web, weight: 2 }, ssh] }",
    [
      "6:51: mappings[0].to[1]: the destination ssh has no weight, and others of the list have one; give every destination of the list a weight, or none (then the first that listens gets the connection)",
    ],
  ],
  [
    "{ port: 80, to: [{ address: web, weight: -1 }, { address: ssh, weight: 1001 }, { address: ssh, weight: 1, port: 2 }] }",
    [
      "6:46: mappings[0].to[0].weight: the weight -1 is not possible; write a whole number, 0 to 1000",
      "6:76: mappings[0].to[1].weight: the weight 1001 is not possible; write a whole number, 0 to 1000",
      '6:111: mappings[0].to[2].port: the key "port" is not known; write the port after the address, such as address: "127.0.1.10:80"',
    ],
  ],
  [
    "{ ports: 80, dest: web, proto: tcp, onn: 10.0.0.1 }",
    [
      '6:5: mappings[0]: port is missing; write 443, "8000-8099", "*", or a list of those',
      '6:5: mappings[0]: to is missing; write "127.0.1.10:80", "[fd5e:ed00::10]:80", a service such as web or "web:80", "*:22", or a list of those',
      '6:7: mappings[0].ports: the key "ports" is not known; did you mean port?',
      '6:18: mappings[0].dest: the key "dest" is not known; write to, with the destination',
      '6:29: mappings[0].proto: the key "proto" is not known; did you mean protocol?',
      '6:41: mappings[0].onn: the key "onn" is not known; did you mean on?',
    ],
  ],
  [
    "{ port: 80, to: web, address: 127.0.0.1 }",
    [
      '6:26: mappings[0].address: the key "address" is not known; write on, with the local addresses that clients dial',
    ],
  ],
  [
    "{ port: 80, to: web }\n  - { port: 80, to: ssh }",
    [
      "7:5: mappings[1]: tcp:80 at rules.yaml:7:5 is mapped at rules.yaml:6:5 already; remove one of the two, or write one mapping with the destinations of both",
    ],
  ],
  [
    "{ name: a, port: 80, to: web }\n  - { name: a, protocol: [udp, tcp], port: 81, to: web }",
    [
      "7:13: mappings[1].name: the name a (tcp) is taken by the mapping at rules.yaml:6:5; give one of the two another name",
    ],
  ],
  [
    "{ name: a, port: 80, to: webb }\n  - { name: a, port: 81, to: web }",
    [
      "6:30: mappings[0].to: there is no service webb; did you mean web?",
      "7:13: mappings[1].name: the name a (tcp) is taken by the mapping at rules.yaml:6:5; give one of the two another name",
    ],
  ],
];

describe("a mapping that is wrong is refused", () => {
  refuses(mappings, withMappings, NAME);
});

describe("all problems are reported at once", () => {
  test("sorted by place, whatever finds them", () => {
    const problems = problemsOf(
      [
        "version: 1",
        "services:",
        "  web: { address: 127.1, user: no }",
        "  dns: { address: [127.0.1.53, 127.0.1.53] }",
        "mappings:",
        "  - { port: 0, to: web }",
        "  - { port: &p 1, to: nobody }",
        "  - { port: 2, to: web }",
        "  - { port: 2, to: dns }",
        "  - { prot: udp, port: 3, to: dns }",
      ].join("\n"),
    );
    expect(problems.map((problem) => problem.split(": ").slice(0, 2).join(" "))).toEqual([
      "rules.yaml:3:19 services.web.address",
      "rules.yaml:3:32 services.web.user",
      "rules.yaml:4:32 services.dns.address[1]",
      "rules.yaml:6:13 mappings[0].port",
      "rules.yaml:7:13 mappings[1].port",
      "rules.yaml:7:23 mappings[1].to",
      "rules.yaml:9:5 mappings[3]",
      "rules.yaml:10:7 mappings[4].prot",
    ]);
  });

  test("over all files, in the order of the files", () => {
    const problems = refusal(() =>
      parseConfiguration([
        { name: "b.yaml", text: "version: 1\nservices: { web: { address: 127.0.1.1 } }" },
        {
          name: "a.json",
          text: '{"version": 1, "services": {"web": {"address": "127.0.1.2"}, "app": {"address": "127.0.1.1"}}}',
        },
        { name: "c.yaml", text: "version: 3\nmappings: []" },
      ]),
    );
    expect(problems).toEqual([
      "a.json:1:29: services.web: the service web is defined at b.yaml:2:13 already; give one of the two another name, or define it once with all its addresses",
      "a.json:1:81: services.app.address: 127.0.1.1 is the address of the service web at b.yaml:2:13 already; an address belongs to one service: give app another one",
      "c.yaml:1:10: version: version 3 is not known to this ilm; write version: 1",
    ]);
  });

  test("a name that is taken in another file names both places", () => {
    const text = 'version: 1\nmappings: [{ name: a, port: 80, to: "*:81" }]';
    expect(
      refusal(() =>
        parseConfiguration([
          { name: "1.yaml", text },
          { name: "2.yaml", text },
        ]),
      ),
    ).toEqual([
      "2.yaml:2:20: mappings[0].name: the name a (tcp) is taken by the mapping at 1.yaml:2:12; give one of the two another name",
    ]);
  });

  test("a service of a file that cannot be read is not called missing", () => {
    expect(
      refusal(() =>
        parseConfiguration([
          { name: "1.yaml", text: "version: 1\nservices: {" },
          { name: "2.yaml", text: "version: 1\nmappings: [{ port: 80, to: web }]" },
        ]),
      ),
    ).toEqual([expect.stringMatching(/^1\.yaml:2:12: /)]);
  });

  test("a service that is there but wrong is not called missing", () => {
    const text =
      "version: 1\nservices: { web: { address: 127.1 } }\nmappings: [{ port: 80, to: web }]";
    expect(problemsOf(text)).toHaveLength(1);
  });

  test("warnings ride along after the errors", () => {
    const doubtful = "{ port: 80, on: 127.0.9.0/24, to: 127.0.9.9 }";
    expect(problemsOf(withMappings(doubtful, "{ port: 0, to: web }"))).toEqual([
      expect.stringMatching(/^rules\.yaml:7:13: mappings\[1\]\.port: /),
      expect.stringMatching(/^rules\.yaml:6:39: warning: mappings\[0\]\.to: /),
    ]);
  });

  test.each([
    '{"mappings":{"":[{"toString":"web"}]}}',
    '{"mappings":[{"80":{"toString":"web"}}]}',
    '{"mappings":[{"port":{"toString":1},"to":{"toString":"web"}}]}',
    '{"version":1,"mappings":[{"port":80,"to":[{"address":{"toString":1},"weight":{"toString":1}}]}]}',
    '{"version":1,"services":{"web":{"address":[{"toString":"127.0.0.2"}]}}}',
  ])("of %s are told, although a key is called as a function of objects is", (text) => {
    expect(problemsOf(text).length).toBeGreaterThan(0);
  });

  test("more than a hundred are counted", () => {
    const entries = Array.from({ length: 250 }, () => "{ port: 0, to: web }");
    const problems = problemsOf(withMappings(...entries));
    expect(problems).toHaveLength(101);
    expect(problems[99]).toMatch(/^rules\.yaml:105:13: mappings\[99\]\.port: /);
    expect(problems[100]).toBe("rules.yaml: and 150 more");
  });

  test("and their number is in the error, whose exit status is 3", () => {
    const entries = Array.from({ length: 250 }, () => "{ port: 0, to: web }");
    try {
      parseConfiguration([{ name: NAME, text: withMappings(...entries) }]);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(IlmError);
      expect(error).toMatchObject({
        message: "the configuration has 250 errors; nothing was changed",
        exitStatus: 3,
      });
    }
  });
});
