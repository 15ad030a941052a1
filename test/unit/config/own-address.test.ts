// Goal: `auto` gives a service one address of each family that it lacks, the same each time, and
// never another's; without a prefix of the host's own it says what to write.
import * as fc from "fast-check";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { readMachineIdOf } from "../../../src/config/machine-id.js";
import { ownIpv4, ownIpv6, ulaOfMachine } from "../../../src/config/own-address.js";
import { parseConfiguration } from "../../../src/config/parse.js";
import { parseAddress, parsePrefix, type Prefix } from "../../../src/model/address.js";
import { refusal } from "./support.js";

const MACHINE = "0123456789abcdef0123456789abcdef";
const ULA = "fd5e:ed00:1::/48" as Prefix;

function load(services: string, machineId: string | null = MACHINE, keys = "") {
  const text = `version: 1\n${keys}services:\n${services}`;
  return parseConfiguration([{ name: "a.yaml", text }], () => machineId).ruleSet;
}

function addressesOf(address: string, machineId?: string | null, keys?: string) {
  return load(`  web: { address: ${address} }`, machineId, keys).services[0]?.addresses;
}

describe("the addresses of a name", () => {
  test("are the same on each run", () => {
    expect(ownIpv4("web")).toBe("127.124.183.145");
    expect(ownIpv6("web", ULA)).toBe("fd5e:ed00:1:0:b4d7:bb6e:a823:e3f2");
    expect(ulaOfMachine(MACHINE)).toBe("fd05:44e6:de7e::/48");
  });

  test("lie in 127.64.0.0/10 without its networks' first and last ones, and in subnet 0", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 64 }), (name) => {
        const [first, second = 0, third = 0, fourth = 0] = ownIpv4(name).split(".").map(Number);
        expect([first, second & ~63]).toEqual([127, 64]);
        expect(third).toBeLessThan(256);
        expect(fourth).toBeGreaterThan(0);
        expect(fourth).toBeLessThan(255);
        const six = ownIpv6(name, ULA);
        expect(six.startsWith("fd5e:ed00:1::") || six.startsWith("fd5e:ed00:1:0:")).toBe(true);
        for (const one of [ownIpv4(name), six]) {
          expect(parseAddress(one)).toEqual({ ok: true, address: one });
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("of a machine do not show its id", () => {
    const ula = ulaOfMachine(MACHINE);
    expect(parsePrefix(ula)).toEqual({ ok: true, prefix: ula });
    expect(MACHINE).not.toContain(ula.slice(2, 4));
    expect(ulaOfMachine(MACHINE.replace("0", "1"))).not.toBe(ula);
  });
});

describe("auto", () => {
  test("gives one address of each family, out of the host's own prefix", () => {
    expect(addressesOf("auto")).toEqual([ownIpv4("web"), ownIpv6("web", ulaOfMachine(MACHINE))]);
  });

  test("takes the prefix that the file has, without the machine's id", () => {
    const own = [ownIpv4("web"), ownIpv6("web", ULA)];
    expect(addressesOf("auto", null, `ula: "${ULA}"\n`)).toEqual(own);
    expect(addressesOf("auto", MACHINE, `ula: "${ULA}"\n`)).toEqual(own);
  });

  test("gives the family that the list lacks, in its place", () => {
    expect(addressesOf("[auto, 127.0.1.10]")).toEqual([
      ownIpv6("web", ulaOfMachine(MACHINE)),
      "127.0.1.10",
    ]);
    expect(addressesOf('["fd5e::1", auto]', null)).toEqual(["fd5e::1", ownIpv4("web")]);
  });

  test("is what mappings lead to", () => {
    const { mappings } = load("  web: { address: auto }\nmappings:\n  - { port: 80, to: web }");
    expect(mappings.at(0)?.to.map(({ address }) => address)).toEqual(addressesOf("auto"));
  });

  const place = (column: number, path = "services.web.address"): string =>
    `a.yaml:3:${column}: ${path}`;
  const rows: readonly (readonly [title: string, address: string, string | null, string[]])[] = [
    [
      "on a host without a machine id",
      "auto",
      null,
      [
        `${place(19)}: auto takes the IPv6 address from the host's own prefix, and this host has no machine id (/etc/machine-id) to derive one from; write ula: with a /48 of fd00::/8 at the top of the file, such as ula: "fd5e:ed00:1::/48", or the IPv6 address itself beside auto`,
      ],
    ],
    [
      "where it gives nothing",
      '[auto, 127.0.1.10, "fd5e::1"]',
      MACHINE,
      [
        `${place(20, "services.web.address[0]")}: auto gives nothing, as the list has addresses of both families; remove it`,
      ],
    ],
    [
      "in another spelling",
      "automatic",
      MACHINE,
      [`${place(19)}: "automatic" is not an address; did you mean auto?`],
    ],
  ];
  test.each(rows)("is refused %s", (_title, address, machineId, problems) => {
    expect(refusal(() => addressesOf(address, machineId))).toEqual(problems);
  });

  test("and another service's address are refused together, in either order", () => {
    const taken = `  other: { address: ${ownIpv4("web")} }`;
    const auto = "  web: { address: auto }";
    expect(refusal(() => load(`${taken}\n${auto}`))).toEqual([
      `a.yaml:4:19: services.web.address: auto gives web ${ownIpv4("web")}, which is the address of the service other at a.yaml:3:3 already; write an explicit address for web instead of auto`,
    ]);
    expect(refusal(() => load(`${auto}\n${taken}`))).toEqual([
      `a.yaml:4:21: services.other.address: ${ownIpv4("web")} is the address of the service web at a.yaml:3:3 already; write an explicit address for web instead of auto`,
    ]);
  });
});

test("a prefix that is no /48 of fd00::/8 is refused with one that is", () => {
  const rows = [
    ["fd5e:ed00:1::", '"fd5e:ed00:1::" is not a /48; write "fd5e:ed00:1::/48"'],
    ["fd5e:ed00:1::/64", '"fd5e:ed00:1::/64" is not a /48; write "fd5e:ed00:1::/48"'],
    [
      "fd5e:ed00:1:2::/64",
      '"fd5e:ed00:1:2::/64" is not a /48; write a /48 of fd00::/8, such as "fd5e:ed00:1::/48"',
    ],
    [
      "2001:db8::/48",
      '"2001:db8::/48" is not in fd00::/8; write a /48 of fd00::/8, such as "fd5e:ed00:1::/48"',
    ],
    ["auto", '"auto" is not an address; write a /48 of fd00::/8, such as "fd5e:ed00:1::/48"'],
  ];
  for (const [ula, problem] of rows) {
    expect(refusal(() => load("  web: { address: auto }", null, `ula: "${ula}"\n`))).toEqual([
      `a.yaml:2:6: ula: ${problem}`,
    ]);
  }
});

test("the files of a folder have one prefix", () => {
  const text = (ula: string) => `version: 1\nmappings: []\nula: "${ula}"\n`;
  const files = [
    { name: "a.yaml", text: text("fd5e:ed00:1::/48") },
    { name: "b.yaml", text: text("fd5e:ed00:2::/48") },
  ];
  expect(refusal(() => parseConfiguration(files))).toEqual([
    "b.yaml:3:6: ula: ula is fd5e:ed00:1::/48 in a.yaml already; set it once, or to the same value in all files",
  ]);
  const policies = (of: string) => `version: 1\nmappings: []\nwildcard: ${of}\n`;
  const wildcards = [
    { name: "a.yaml", text: policies("{ default: deny }") },
    { name: "b.yaml", text: policies("deny") },
    { name: "c.yaml", text: policies("report") },
  ];
  expect(refusal(() => parseConfiguration(wildcards))).toEqual([
    "c.yaml:3:11: wildcard: wildcard is something else in a.yaml already; set it once, or to the same value in all files",
  ]);
});

test("a machine's id is what the file has, or there is none", () => {
  const folder = mkdtempSync(join(tmpdir(), "ilm-machine-"));
  const path = join(folder, "machine-id");
  try {
    expect(readMachineIdOf(path)).toBeNull();
    for (const [text, id] of [
      [`${MACHINE}\n`, MACHINE],
      [MACHINE, MACHINE],
      ["uninitialized\n", null],
      ["", null],
      [`${"0".repeat(32)}\n`, null],
      [`${MACHINE}0\n`, null],
    ] as const) {
      writeFileSync(path, text);
      expect(readMachineIdOf(path), text).toBe(id);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
