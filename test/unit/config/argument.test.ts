/** Mappings as arguments: what they mean, what is refused, and the way back to text. */
import { describe, expect, test } from "vitest";

import { formatMappingArgument, parseMappingArgument } from "../../../src/config/argument.js";
import { meaning, refusal, ruleSetOf, withMappings } from "./support.js";

const { services } = ruleSetOf(withMappings("{ port: 1, to: web }"));

describe("an argument means what the same entry of a file means", () => {
  test.each([
    ["tcp:8080=127.0.1.10:80", "{ port: 8080, to: 127.0.1.10:80 }"],
    ["8080=127.0.1.10:80", "{ port: 8080, to: 127.0.1.10:80 }"],
    ["udp:53=[fd5e:ed00::53]", '{ protocol: udp, port: 53, to: "fd5e:ed00::53" }'],
    ["udp:53=fd5e:ed00::53", '{ protocol: udp, port: 53, to: "fd5e:ed00::53" }'],
    ["tcp+udp:53=web", "{ protocol: [tcp, udp], port: 53, to: web }"],
    ["tcp:2222=ssh:22", '{ port: 2222, to: "ssh:22" }'],
    ["tcp:2222=*:22", '{ port: 2222, to: "*:22" }'],
    ["*=*", '{ port: "*", to: "*" }'],
    ["443,80,8000-8099=web", "{ port: [80, 443, 8000-8099], to: web }"],
    [
      "tcp:8000-8099@203.0.113.0/24=127.0.1.20:9000,127.0.1.21:9000",
      "{ port: 8000-8099, on: 203.0.113.0/24, to: [127.0.1.20:9000, 127.0.1.21:9000] }",
    ],
    [
      "443@2001:db8::/32,203.0.113.7=web,[fd5e::1]:8443",
      '{ port: 443, on: ["2001:db8::/32", 203.0.113.7], to: [web, "[fd5e::1]:8443"] }',
    ],
    [
      "22@from:198.51.100.0/24,2001:db8::/32@interface:eth0,wg0@203.0.113.7=web",
      '{ port: 22, on: 203.0.113.7, from: [198.51.100.0/24, "2001:db8::/32"], interface: [eth0, wg0], to: web }',
    ],
    [
      "80=web:8080@weight:3,127.0.1.21@weight:1",
      '{ port: 80, to: [{ address: "web:8080", weight: 3 }, { address: 127.0.1.21, weight: 1 }] }',
    ],
    ["25=none", "{ port: 25, to: none }"],
    [
      "80=web@weight:0,127.0.1.21@weight:1",
      "{ port: 80, to: [{ address: web, weight: 0 }, { address: 127.0.1.21, weight: 1 }] }",
    ],
  ])("%s", (argument, entry) => {
    const fromFile = ruleSetOf(withMappings(entry)).mappings;
    expect(parseMappingArgument(argument, services).map(meaning)).toEqual(fromFile.map(meaning));
  });
});

test("its origin is the argument", () => {
  expect(parseMappingArgument("80=web", services)[0]?.origin).toEqual({
    file: "<argument>",
    line: 0,
    column: 0,
  });
  expect(parseMappingArgument("80=web", services, "<runtime>")[0]?.origin.file).toBe("<runtime>");
});

const form = "write [PROTOCOL:]PORTS[@PREFIXES]=DESTINATIONS, such as tcp:8080=127.0.1.10:80";
const destinations =
  'write "127.0.1.10", "127.0.1.10:80", "[fd5e:ed00::10]:80", a service, or "*:22"';

describe("what is wrong is refused, all of it at once", () => {
  test.each([
    ["", [`the mapping is empty; ${form}`]],
    [
      "8080",
      [
        '"8080" has no destination; write tcp:8080=127.0.1.10:8080, with the address that the daemon listens on',
      ],
    ],
    [
      "tcp:8080:127.0.1.10",
      ['"tcp:8080:127.0.1.10" has a colon where "=" belongs; write tcp:8080=127.0.1.10'],
    ],
    ["nothing", [`"nothing" is not a mapping; ${form}`]],
    ["tpc:80=web", ['"tpc" is not a protocol; write tcp:80=web']],
    [
      "sctp:80=web",
      ['"sctp" is not supported; write tcp or udp: the kernel asks ilm about these two only'],
    ],
    [":80=web", ['":80" has a colon before the port, and no protocol; write tcp:80=web']],
    ["=web", ['"" is not a port; write 443, "8000-8099" or "*"']],
    ["80=", [`the destination is empty; ${destinations}`]],
    ["80=web,", [`the destination is empty; ${destinations}`]],
    [
      "80@=web",
      [
        "the address is empty; write an IPv4 address such as 127.0.1.10 or an IPv6 address such as fd5e:ed00::10",
      ],
    ],
    [
      "80@from:10.0.0.0/8@from:11.0.0.0/8=web",
      [
        '"from:11.0.0.0/8" comes after another part of its kind; write tcp:80@from:10.0.0.0/8,11.0.0.0/8=web',
      ],
    ],
    [
      "80=web@weight:1001",
      ['"@weight:1001" is not a weight; write @weight: and a whole number, 0 to 1000'],
    ],
    [
      "80=web@weight:2,ssh",
      [
        "the destination ssh has no weight, and others of the list have one; give every destination of the list a weight, or none (then the first that listens gets the connection)",
      ],
    ],
    ["80= web", ['"80= web" contains white space; write tcp:80=web']],
    ["80=wbe", ["there is no service wbe; did you mean web?"]],
    [
      "80=127.0.1.10=443",
      [
        '"127.0.1.10=443" is not a destination: a colon comes before the port; write tcp:80=127.0.1.10:443',
      ],
    ],
    [
      "udp+icmp:0,90-80@10.0.0.1/8=127.1,[::1",
      [
        '"icmp" is not supported; write tcp or udp: the kernel asks ilm about these two only',
        "the port 0 does not exist; a port is 1 to 65535",
        'the port range 90-80 is reversed; write "80-90"',
        "10.0.0.1 has bits set below the prefix length 8; write 10.0.0.0/8 for the network, or 10.0.0.1 for the one address",
        '"127.1" is a short form; write all four octets: 127.0.0.1',
        `"[::1" lacks the closing bracket; ${destinations}`,
      ],
    ],
    [
      "80@2001:db8::/32=ssh",
      [
        "on has IPv6 prefixes only and the destinations IPv4 addresses only, and an IPv6 connection cannot go to an IPv4 listener on an address of its own; add the daemon's IPv6 address, or an IPv4 prefix to on",
      ],
    ],
  ])("%j", (argument, problems) => {
    const shown = argument === "" ? "<argument>: " : `<argument>: ${argument}: `;
    expect(refusal(() => parseMappingArgument(argument, services))).toEqual(
      problems.map((problem) => `${shown}${problem}`),
    );
  });
});

describe("a mapping is shown as the argument that means it", () => {
  test.each([
    ["8080=127.0.1.10:80", "tcp:8080=127.0.1.10:80"],
    ["443,80,81=web", "tcp:80-81,443=web"],
    ["udp:53@2001:DB8::/32,203.0.113.7=web:53", "udp:53@203.0.113.7/32,2001:db8::/32=web:53"],
    ["*=fd5e::1,*:22", "tcp:*=[fd5e::1],*:22"],
    ["1=web:1,web:2,ssh,127.0.0.1", "tcp:1=web:1,web:2,ssh,127.0.0.1"],
    ["1=fd5e:ed00::10,web", "tcp:1=[fd5e:ed00::10],web"],
  ])("%s is %s", (given, shown) => {
    const mappings = parseMappingArgument(given, services);
    expect(mappings.map(formatMappingArgument)).toEqual([shown]);
    expect(parseMappingArgument(shown, services)).toEqual(mappings);
  });
});
