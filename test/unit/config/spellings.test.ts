/**
 * Goal: who writes a mapping as docker, iptables, nginx or ssh has it is told what to write here,
 * with his own values, and each remedy is right. Nothing of it is accepted.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { parseMappingArgument } from "../../../src/config/argument.js";
import { parseDestination } from "../../../src/config/destination.js";
import { parseOnePort, parsePorts } from "../../../src/config/port.js";
import { parseFrom, parseOn } from "../../../src/config/prefix.js";
import { readQuickEntry } from "../../../src/config/quick.js";
import { mappingEntry } from "../../../src/config/schema.js";
import { parseTarget } from "../../../src/config/target.js";
import { formatProblem, IlmError, type Problem } from "../../../src/errors.js";
import { parsePrefix } from "../../../src/model/address.js";
import { parsePort, parsePortItem } from "../../../src/model/ports.js";
import { load, ruleSetOf, withMappings } from "./support.js";

const { services } = ruleSetOf(withMappings("{ port: 1, to: web }"));

function errorsOf(act: () => unknown): readonly Problem[] {
  try {
    act();
  } catch (error) {
    if (error instanceof IlmError && error.code === "CONFIGURATION") return error.problems;
    throw error;
  }
  return [];
}

const OWN = ", with the address that the daemon listens on";
const OR_WILDCARD = (port: number): string =>
  `${OWN}, or *:${port} for one that listens on every address`;
const DIALLED = ', with the ports that clients dial before the "="';

describe("an argument that is written as another program has it is refused, with the one to write", () => {
  test.each([
    // docker, podman, compose
    ["8080:80", `tcp:8080=127.0.1.10:80${OWN}`],
    ["8080:80/tcp", `tcp:8080=127.0.1.10:80${OWN}`],
    ["53:53/udp", `udp:53=127.0.1.10:53${OWN}`],
    ["203.0.113.5:8080:80", `tcp:8080@203.0.113.5=127.0.1.10:80${OWN}`],
    ["0.0.0.0:8080:80", `tcp:8080=127.0.1.10:80${OWN}`],
    ["0.0.0.0:8080->80/tcp", `tcp:8080=127.0.1.10:80${OR_WILDCARD(80)}`],
    ["8080:80=web", "tcp:8080=web:80"],
    ["443/tcp", `tcp:443=127.0.1.10:443${OWN}`],
    ["443/tcp=web", "tcp:443=web"],
    ["53/udp=web", "udp:53=web"],
    ["53/tcp,53/udp=web", "tcp+udp:53,53=web"],
    // ssh -L, and arrows
    ["8080:127.0.1.10:80", "tcp:8080=127.0.1.10:80"],
    ["2222:ssh:22", "tcp:2222=ssh:22"],
    ["127.0.0.1:8080:web:80", "tcp:8080@127.0.0.1=web:80"],
    ["tcp:80->127.0.1.10:80", "tcp:80=127.0.1.10:80"],
    ["tcp:80 -> 127.0.1.10:80", "tcp:80=127.0.1.10:80"],
    ["80=>web", "tcp:80=web"],
    ["80==web", "tcp:80=web"],
    ["80 = web", "tcp:80=web"],
    ["80 web", "tcp:80=web"],
    ["tcp:8080:127.0.1.10:80", "tcp:8080=127.0.1.10:80"],
    // iptables and nftables
    ["60000:61000=web", "tcp:60000-61000=web"],
    ["tcp:60000:61000=web", "tcp:60000-61000=web"],
    ["60000:61000", `tcp:60000=127.0.1.10:61000${OWN}; a range of ports is 60000-61000`],
    ["80..90=web", "tcp:80-90=web"],
    ["1024-=web", "tcp:1024-65535=web"],
    ["-1023=web", "tcp:1-1023=web"],
    ["!22=web", "tcp:1-21,23-65535=web"],
    ["80@from:10.0.0.0/255.0.0.0=web", "tcp:80@from:10.0.0.0/8=web"],
    ["80@src:10.0.0.0/8@dev:eth0=web", "tcp:80@from:10.0.0.0/8@interface:eth0=web"],
    ["80@from=10.0.0.0/8=web", "tcp:80@from:10.0.0.0/8=web"],
    // Where it is dialled
    ["*:80=web", "tcp:80=web"],
    [":80=web", "tcp:80=web"],
    ["0.0.0.0:80=web", "tcp:80=web"],
    ["[::]:80=web", "tcp:80=web"],
    ["203.0.113.5:80=web", "tcp:80@203.0.113.5=web"],
    ["[2001:db8::5]:443=web", "tcp:443@2001:db8::5=web"],
    ["localhost:80=web", "tcp:80@127.0.0.1,::1=web"],
    ["eth0:80=web", "tcp:80@interface:eth0=web"],
    ["tcp://0.0.0.0:80=web", "tcp:80=web"],
    ["https://203.0.113.5/=web", "tcp:443@203.0.113.5=web"],
    ["80@eth0=web", "tcp:80@interface:eth0=web"],
    ["80@any=web", "tcp:80=web"],
    ["80@from:any=web", "tcp:80=web"],
    ["80@on:203.0.113.7=web", "tcp:80@203.0.113.7=web"],
    ["80@203.0.113.5:80=web", "tcp:80@203.0.113.5=web"],
    ["80@0.0.0.0=web", "tcp:80@0.0.0.0/0=web"],
    ["80@::=web", "tcp:80@::/0=web"],
    ["80@from:0.0.0.0=web", "tcp:80@from:0.0.0.0/0=web"],
    ["80@10.0.0.*=web", "tcp:80@10.0.0.0/24=web"],
    ["80@10/8=web", "tcp:80@10.0.0.0/8=web"],
    ["80@10.0.0.1-10.0.0.3=web", "tcp:80@10.0.0.1,10.0.0.2/31=web"],
    ["80@interface:203.0.113.5=web", "tcp:80@203.0.113.5=web"],
    ["80@interface:any=web", "tcp:80=web"],
    // Protocols and names of ports
    ["TCP:80=web", "tcp:80=web"],
    ["Udp:53=web", "udp:53=web"],
    ["tcp/80=web", "tcp:80=web"],
    ["tcp80=web", "tcp:80=web"],
    ["tcp,udp:53=web", "tcp+udp:53=web"],
    ["any:53=web", "tcp+udp:53=web"],
    ["quic:443=web", "udp:443=web"],
    ["tcp:http=web", "tcp:80=web"],
    ["HTTPS,ssh=web", "tcp:443,22=web"],
    ["080=web:0080", "tcp:80=web:80"],
    ["any=web", "'tcp:*=web'"],
    ["0-65535=web", "'tcp:*=web'"],
    ["80;443=web", "tcp:80,443=web"],
    // Destinations
    ["80=8080", `tcp:80=127.0.1.10:8080${OR_WILDCARD(8080)}`],
    ["80=:8080", `tcp:80=127.0.1.10:8080${OR_WILDCARD(8080)}`],
    ["80=0.0.0.0:80", "'tcp:80=*:80'"],
    ["80=[::]:80", "'tcp:80=*:80'"],
    ["80=:::80", "'tcp:80=*:80'"],
    ["80=*80", "'tcp:80=*:80'"],
    ["80=fd5e::10:65000", "'tcp:80=[fd5e::10]:65000'"],
    ["80=[fd5e::10]80", "'tcp:80=[fd5e::10]:80'"],
    ["80=[web]:80", "tcp:80=web:80"],
    ["80=::ffff:127.0.0.1:80", "tcp:80=127.0.0.1:80"],
    ["80=http://127.0.1.10:8080/x", "tcp:80=127.0.1.10:8080"],
    ["80=https://web", "tcp:80=web:443"],
    ["80=tcp://127.0.1.10:80", "tcp:80=127.0.1.10:80"],
    ["53=udp:127.0.1.10:53", "udp:53=127.0.1.10:53"],
    ["80=127.0.1.10:80/tcp", "tcp:80=127.0.1.10:80"],
    ["80=127.0.1.10/80", "tcp:80=127.0.1.10:80"],
    ["53=127.0.1.10#53", "tcp:53=127.0.1.10:53"],
    ["53=127.0.1.10@53", "tcp:53=127.0.1.10:53"],
    ["80=web:http", "tcp:80=web:80"],
    ["80=web:80-90", "tcp:80=web"],
    ["80=Web", "tcp:80=web"],
    ["80=web@weight=3", "tcp:80=web@weight:3"],
    ["80=web:http@weight:3", "tcp:80=web:80@weight:3"],
    // Half of it
    ["8080", `tcp:8080=127.0.1.10:8080${OWN}`],
    ["udp:53", `udp:53=127.0.1.10:53${OWN}`],
    ["*:80", `tcp:80=127.0.1.10:80${OWN}`],
    ["tcp:80@203.0.113.7", `tcp:80@203.0.113.7=127.0.1.10:80${OWN}`],
    ["127.0.1.10:80", `tcp:80=127.0.1.10:80${DIALLED}`],
    ["127.0.1.10", `tcp:80=127.0.1.10${DIALLED}`],
    ["http://127.0.1.10:80", `tcp:80=127.0.1.10:80${DIALLED}`],
  ])("%s", (argument, remedy) => {
    const problems = errorsOf(() => parseMappingArgument(argument, services));
    expect(problems.length).toBeGreaterThan(0);
    for (const { file, path, hint } of problems) {
      expect([file, path]).toEqual(["<argument>", argument]);
      expect(hint).toBe(`write ${remedy}`);
    }
    const [, meant = ""] = /^'?([^,; ']+(?:,[^ ;']+)*)'?/.exec(remedy) ?? [];
    expect(parseMappingArgument(meant.replace(/,$/, ""), services).length).toBeGreaterThan(0);
  });
});

describe("an argument of which it is not known what was meant is refused with what is known", () => {
  test.each([
    ["sctp:80=web", /^write tcp or udp: the kernel asks ilm about these two only$/],
    ["http:80=web", /^write tcp \(or udp\) as the protocol and 80 as the port$/],
    ["80/tcp,53/udp=web", /^write port: /],
    ["tcp:53/udp=web", /^write port: 53 and protocol: udp$/],
    ["80@224.0.0.1=web", /^remove it: a daemon that joins the group/],
    ["80@interface:eth*=web", /^list the names that `ip link` shows \(eth0, eth1\)/],
    ["80@!10.0.0.0/8=web", /^write a second mapping with on: 10\.0\.0\.0\/8/],
    ["80@www.example.com=web", /^write its address, such as on: 203\.0\.113\.7$/],
    ["80=localhost:80", /^write "127\.0\.0\.1:80"/],
    ["80=www.example.com:80", /such as "127\.0\.1\.10:80"/],
    ["80=unix:/run/x.sock", /^let the daemon listen on an address too/],
    ["tcp:$PORT=web", /^write the value itself/],
    ["/etc/ilm.yaml", /^write -f \/etc\/ilm\.yaml$/],
    ["rules.json", /^write -f rules\.json/],
    ["{ port: 80, to: web }", /^put it into a file/],
  ])("%s", (argument, hint) => {
    const [problem] = errorsOf(() => parseMappingArgument(argument, services));
    expect(problem?.hint).toMatch(hint);
  });
});

/** Entries of a file with what they are told; the remedy of one is that of a file. */
const entries: readonly (readonly [entry: string, place: string, hint: RegExp])[] = [
  ["{ port: 8080:80, to: web }", "port", /^write port: 8080 and to: "web:80"$/],
  [
    "{ protocol: udp, port: 53:5353, to: web }",
    "port",
    /^write 53-5353 for the range; or, for one port that leads to another, port: 53 and to: "web:5353"$/,
  ],
  ["{ port: 8080:80/tcp, to: web }", "port", /^write port: 8080 and to: "web:80"$/],
  ["{ port: 8080->80, to: web }", "port", /^write port: 8080 and to: "web:80"$/],
  ["{ port: 443/tcp, to: web }", "port", /^write port: 443 and protocol: tcp$/],
  ["{ port: 53/udp, to: web }", "port", /^write port: 53 and protocol: udp$/],
  ["{ port: tcp:443, to: web }", "port", /^write port: 443 and protocol: tcp$/],
  ['{ port: "80,443", to: web }', "port", /^write a list: \[80, 443\]$/],
  ['{ port: "80, 443", to: web }', "port", /^write a list: \[80, 443\]$/],
  ["{ port: 80,443, to: web }", "443", /^put several ports into brackets: port: \[80, 443\]$/],
  ["{ port: 80-, to: web }", "port", /^write 80-65535$/],
  ["{ port: 80 - 90, to: web }", "port", /^write 80-90$/],
  ["{ port: https, to: web }", "port", /^write 443, the port of https$/],
  ["{ port: [80, ssh], to: web }", "port[1]", /^write 22, the port of ssh$/],
  ['{ port: "080", to: web }', "port", /^write 80$/],
  ["{ port: 080, to: web }", "port", /^write 80: /],
  ['{ port: ":80", to: web }', "port", /^write 80: without on, it is for every local address$/],
  ["{ port: 0.0.0.0:80, to: web }", "port", /^write 80: without on/],
  ["{ port: 203.0.113.5:80, to: web }", "port", /^write port: 80 and on: 203\.0\.113\.5$/],
  ["{ port: localhost:80, to: web }", "port", /^write port: 80 and on: \[127\.0\.0\.1, "::1"\]$/],
  ["{ port: eth0:80, to: web }", "port", /^write port: 80 and interface: eth0$/],
  ["{ port: any, to: web }", "port", /^write "\*" for every port$/],
  ['{ port: "!22", to: web }', "port", /^write what is left: \[1-21, 23-65535\]$/],
  ["{ port: $PORT, to: web }", "port", /^write the value itself/],
  ["{ port: 80, on: eth0, to: web }", "on", /^write interface: eth0$/],
  ["{ port: 80, on: enp3s0, to: web }", "on", /^write interface: enp3s0$/],
  ["{ port: 80, on: any, to: web }", "on", /^leave on out for every local address$/],
  ['{ port: 80, on: "*", to: web }', "on", /^leave on out for every local address$/],
  ["{ port: 80, on: localhost, to: web }", "on", /^write \[127\.0\.0\.1, "::1"\]$/],
  ["{ port: 80, on: www.example.com, to: web }", "on", /^write its address/],
  ["{ port: 80, on: 203.0.113.5:443, to: web }", "on", /^write on: 203\.0\.113\.5, and port: 443$/],
  ['{ port: 80, on: "[2001:db8::5]", to: web }', "on", /^write on: "2001:db8::5"$/],
  [
    "{ port: 80, on: 0.0.0.0, to: web }",
    "on",
    /^leave on out for every local address, or write 0\.0\.0\.0\/0 for IPv4 alone$/,
  ],
  ["{ port: 80, on: 0.0.0.0/32, to: web }", "on", /^leave on out/],
  [
    '{ port: 80, on: "::", to: web }',
    "on",
    /^leave on out for every local address, or write "::\/0" for IPv6 alone$/,
  ],
  ["{ port: 80, on: 224.0.0.0/4, to: web }", "on", /^remove it/],
  ["{ port: 80, on: [10.0.0.1, 239.1.2.3], to: web }", "on[1]", /^remove it/],
  ['{ port: 80, on: "ff02::1", to: web }', "on", /^remove it/],
  ['{ port: 80, on: "ff00::/8", to: web }', "on", /^remove it/],
  ["{ port: 80, on: 255.255.255.255, to: web }", "on", /^remove it/],
  ["{ port: 80, from: any, to: web }", "from", /^leave from out for connections from everywhere$/],
  ["{ port: 80, from: 0/0, to: web }", "from", /^leave from out/],
  [
    "{ port: 80, from: 0.0.0.0, to: web }",
    "from",
    /^leave from out for connections from everywhere, or write 0\.0\.0\.0\/0/,
  ],
  ["{ port: 80, from: 224.0.0.0/8, to: web }", "from", /^write the addresses of the clients/],
  ['{ port: 80, from: "ff02::1", to: web }', "from", /^write the addresses of the clients/],
  ["{ port: 80, from: 255.255.255.255, to: web }", "from", /^write the addresses of the clients/],
  ["{ port: 80, from: 198.51.100.7:4444, to: web }", "from", /^write from: 198\.51\.100\.7$/],
  ["{ port: 80, from: 10.0.0.0/255.0.0.0, to: web }", "from", /^write 10\.0\.0\.0\/8$/],
  ["{ port: 80, from: 10.0.0.0 0.255.255.255, to: web }", "from", /^write 10\.0\.0\.0\/8$/],
  ["{ port: 80, from: 192.168., to: web }", "from", /^write 192\.168\.0\.0\/16$/],
  [
    "{ port: 80, from: 10.0.0.1-200, to: web }",
    "from",
    /^write it as prefixes, such as 10\.0\.0\.1|^write it as prefixes: /,
  ],
  ["{ port: 80, from: localhost, to: web }", "from", /^write \[127\.0\.0\.0\/8, "::1"\]$/],
  [
    "{ port: 80, interface: eth*, to: web }",
    "interface",
    /^list the names that `ip link` shows \(eth0, eth1\)/,
  ],
  ["{ port: 80, interface: eth+, to: web }", "interface", /^list the names/],
  [
    "{ port: 80, interface: veth?, to: web }",
    "interface",
    /^list the names that `ip link` shows \(veth0, veth1\)/,
  ],
  ['{ port: 80, interface: "eth[01]", to: web }', "interface", /^list the names/],
  [
    '{ port: 80, interface: "*", to: web }',
    "interface",
    /^leave interface out for every interface$/,
  ],
  ['{ port: 80, interface: "!eth0", to: web }', "interface", /^list the interfaces that are meant/],
  ["{ port: 80, interface: eth0:1, to: web }", "interface", /^write eth0, and on: /],
  ["{ port: 80, interface: eth0@if5, to: web }", "interface", /^write eth0$/],
  ["{ port: 80, interface: eth0 wg0, to: web }", "interface", /^write \[eth0, wg0\]$/],
  ["{ port: 80, interface: 203.0.113.5, to: web }", "interface", /^write on: 203\.0\.113\.5 /],
  ["{ port: 80, interface: a/b, to: web }", "interface", /^write a name that `ip link` shows/],
  ["{ port: 80, interface: sixteen-bytes-00, to: web }", "interface", /altname/],
  ["{ port: 80, to: 8080 }", "to", /^write "127\.0\.1\.10:8080", with the address/],
  ['{ port: 80, to: ":8080" }', "to", /^write "127\.0\.1\.10:8080", with the address/],
  [
    "{ port: 80, to: 0.0.0.0:8080 }",
    "to",
    /^write "\*:8080" for the daemon that listens on every address/,
  ],
  ["{ port: 80, to: localhost:8080 }", "to", /^write "127\.0\.0\.1:8080"/],
  ["{ port: 80, to: www.example.com:8080 }", "to", /such as "127\.0\.1\.10:8080"/],
  [
    "{ port: 80, to: http://127.0.1.10:8080/x }",
    "to",
    /^write "127\.0\.1\.10:8080": ilm looks at ports, never at paths$/,
  ],
  ["{ port: 80, to: https://web }", "to", /^write "web:443"$/],
  [
    "{ port: 80, to: tcp:127.0.1.10:80 }",
    "to",
    /^write "127\.0\.1\.10:80", and protocol: tcp in the mapping$/,
  ],
  ["{ port: 80, to: 127.0.1.10 80 }", "to", /^write "127\.0\.1\.10:80"$/],
  ['{ port: 80, to: "web, ssh:22" }', "to", /^write a list: \[web, "ssh:22"\]$/],
  [
    "{ port: 80, to: 127.0.1.10:80 weight=3 }",
    "to",
    /^write \{ address: "127\.0\.1\.10:80", weight: 3 \}$/,
  ],
  ["{ port: 80, to: web@weight:3 }", "to", /^write \{ address: web, weight: 3 \}$/],
  ["{ port: 80, to: /run/x.sock }", "to", /^let the daemon listen on an address too/],
  ['{ port: 80, to: "fd5e::10:65000" }', "to", /^write "\[fd5e::10\]:65000"$/],
  ["{ port: 80, to: *:22 }", "to", /"\*:22"$/],
  ["{ port: 80, to: web, protocol: TCP }", "protocol", /^write tcp$/],
  ["{ port: 80, to: web, protocol: sctp }", "protocol", /^write tcp or udp/],
  ["{ port: 80, to: web, protocol: tcp+udp }", "protocol", /^write \[tcp, udp\] for both$/],
  ["{ port: 80, to: web, protocol: any }", "protocol", /^write \[tcp, udp\] for both$/],
  [
    "{ port: 80, to: web, protocol: tcp6 }",
    "protocol",
    /^write tcp; for IPv6 alone also on: "::\/0"$/,
  ],
  ["{ port: 80, to: web, iface: eth0 }", "iface", /^write interface$/],
  ["{ port: 80, to: web, src: 10.0.0.0/8 }", "src", /^write from/],
  ["{ port: 80, to: web, listen: 203.0.113.5 }", "listen", /^write on/],
];

describe("an entry of a file that is written as another program has it is refused at its place", () => {
  test.each(entries)("%s", (entry, place, hint) => {
    const problems = errorsOf(() => load(withMappings(entry)));
    const problem = problems.find(({ severity }) => severity === "error");
    expect(problem).toMatchObject({
      file: "rules.yaml",
      line: 6,
      path: `mappings[0].${place}`,
      hint: expect.stringMatching(hint) as string,
    });
    expect(problem?.column).toBeGreaterThan(5);
  });

  test.each([
    [
      "8080:80",
      'write { port: 8080, to: "127.0.1.10:80" }, with the address that the daemon listens on',
    ],
    [
      "udp:53@203.0.113.7=web:53",
      'write { protocol: udp, port: 53, on: 203.0.113.7, to: "web:53" }',
    ],
    ["8080->web", "write { port: 8080, to: web }"],
  ])("an argument in the place of an entry: %s", (entry, hint) => {
    expect(errorsOf(() => load(withMappings(entry)))[0]?.hint).toBe(hint);
  });

  test.each([
    ["mappings:\n  80: 127.0.1.10", "write a list: [{ port: 80, to: 127.0.1.10 }]"],
    [
      "mappings:\n  - port: 80\n    to: [fd5e::10]:80",
      'write "[fd5e::10]:80", with the double quotes',
    ],
    ["services:\n  web: 127.0.1.10", "write { address: 127.0.1.10 }"],
    ["services:\n  web: [127.0.1.10]", "write { address: 127.0.1.10 }"],
    [
      "services:\n  web: { address: localhost }",
      "write an address of the daemon's own, such as 127.0.1.10: others listen on 127.0.0.1 too",
    ],
    [
      'services:\n  web: { address: "[fd5e::10]:80" }',
      'write "fd5e::10"; a port goes into to: of a mapping',
    ],
    [
      "services:\n  web: { address: http://127.0.1.10:80/ }",
      "write 127.0.1.10; a port goes into to: of a mapping",
    ],
    [
      'services:\n  web: { address: "127.0.1.10, fd5e::10" }',
      'write a list: [127.0.1.10, "fd5e::10"]',
    ],
  ])("%j", (text, hint) => {
    expect(errorsOf(() => load(`version: 1\n${text}\n`))[0]?.hint).toBe(hint);
  });
});

describe("prefixes that also hold addresses of packets are taken", () => {
  test.each([
    "0.0.0.0/0",
    "::/0",
    "0.0.0.0/8",
    "224.0.0.0/3",
    "128.0.0.0/1",
    "ff00::/7",
    "fe00::/7",
    "240.0.0.1",
    "255.255.255.254/31",
    "::1",
    "::/127",
  ])("%s", (prefix) => {
    const strict = parsePrefix(prefix).ok;
    expect(parseOn(prefix).ok).toBe(strict);
    expect(parseFrom(prefix).ok).toBe(strict);
  });
});

describe("a long file is refused as a short one is", () => {
  const filler = Array.from({ length: 150 }, (_, index) => `{ port: ${1000 + index}, to: web }`);

  /** Without the line and the number of the entry. */
  function told(problems: readonly Problem[]): string[] {
    return problems
      .filter(({ severity }) => severity === "error")
      .map((problem) =>
        formatProblem({
          ...problem,
          line: 1,
          path: problem.path.replace(/^mappings\[\d+\]/, "mappings[]"),
        }),
      );
  }

  test.each(entries.map(([entry]) => entry))("%s", (entry) => {
    const short = told(errorsOf(() => load(withMappings(entry))));
    const long = told(errorsOf(() => load(withMappings(...filler, entry))));
    expect(short.length).toBeGreaterThan(0);
    expect(long).toEqual(short);
  });

  test("and what reads entries quickly accepts nothing that the validator refuses", () => {
    const texts = fc.oneof(spelling, fc.string({ maxLength: 12 }));
    fc.assert(
      fc.property(
        fc.record(
          { port: texts, on: texts, from: texts, interface: texts, to: texts },
          { requiredKeys: ["port", "to"] },
        ),
        fc.subarray(["port", "on", "from", "interface", "to"]),
        (written, right) => {
          const sound = { port: 80, on: "10.0.0.0/8", from: "::/0", interface: "eth0", to: "web" };
          const entry = {
            ...written,
            ...Object.fromEntries(right.map((key) => [key, sound[key as "to"]])),
          };
          const quick = readQuickEntry(entry);
          const slow = mappingEntry.safeParse(entry);
          if (quick !== null) expect(quick).toEqual(slow.data);
          else expect(slow.success).toBe(false);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** Texts that are put together of what mappings are made of, in any order. */
const spelling = fc
  .array(
    fc.constantFrom(
      ..."80 8080 443-80 tcp udp http web eth0 * + ? ! : :: / @ = -> , . [ ] 0.0.0.0 127.0.1.10 fd5e::10 224.0.0.1 255.255.255.255 ff02::1 localhost any ://".split(
        " ",
      ),
      " ",
      "-",
      "weight",
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => parts.join(""));

describe("remedies weaken nothing", () => {
  test("what the strict parsers refuse is refused", () => {
    fc.assert(
      fc.property(spelling, (text) => {
        expect(parsePorts(text).ok).toBe(parsePortItem(text).ok);
        expect(parseOnePort(text).ok).toBe(parsePort(text).ok);
        expect(parseDestination(text).ok).toBe(parseTarget(text).ok);
        if (parseOn(text).ok || parseFrom(text).ok) expect(parsePrefix(text).ok).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  test("an argument that a remedy spells out is right", () => {
    let spelled = 0;
    fc.assert(
      fc.property(fc.array(spelling, { minLength: 1, maxLength: 3 }), (texts) => {
        const argument = texts.join("=");
        for (const { hint } of errorsOf(() => parseMappingArgument(argument, services))) {
          const [, quoted, plain] =
            /^write (?:'([^']+=[^']+)'|((?:tcp|udp)[^ ;]*=[^ ;]*[^ ;,]))/.exec(hint) ?? [];
          const meant = quoted ?? plain;
          if (meant === undefined) continue;
          spelled++;
          const again = errorsOf(() => parseMappingArgument(meant, services));
          // Whether a service exists, and families meet, is told when the spelling is right.
          for (const { message } of again) {
            expect(message, `${argument}: ${hint}`).toMatch(
              /^there is no service|^(?:on|from) has IPv|has no weight/,
            );
          }
        }
      }),
      { numRuns: 5000 },
    );
    expect(spelled).toBeGreaterThan(100);
  });
});
