// Goal: a mapping that takes answers from the host's own clients is told, with its remedy; others
// are not.
import { expect, test } from "vitest";
import { warnOfEphemeralPorts, type EphemeralPorts } from "../../../src/rules/ephemeral.js";
import type { Mapping, PortRange } from "../../../src/model/mapping.js";

const host: EphemeralPorts = { range: { first: 32_768, last: 60_999 }, reserved: [] };

function mappingOf(ports: readonly PortRange[], changes: Partial<Mapping> = {}): Mapping {
  return {
    name: "game",
    protocol: "udp",
    ports,
    on: [],
    to: [],
    existing: "exact",
    miss: "pass",
    origin: { file: "rules.yaml", line: 3, column: 5 },
    ...changes,
  };
}

function warnings(
  ports: readonly PortRange[],
  changes: Partial<Mapping> = {},
  of: EphemeralPorts = host,
): readonly string[] {
  const mapping = mappingOf(ports, changes);
  return warnOfEphemeralPorts([mapping], of).map(
    ({ severity, file, line, message, hint }) => `${severity} ${file}:${line} ${message} ${hint}`,
  );
}

const wide = [{ first: 20_000, last: 50_000 }];

test("a wide range of UDP is reported, with its place, how many it covers, and the remedy", () => {
  const [one = "", ...more] = warnings(wide);
  expect(more).toEqual([]);
  expect(one).toContain("warning rules.yaml:3 covers 17233 of the 28232 ports");
  expect(one).toContain("net.ipv4.ip_local_reserved_ports=32768-50000");
  expect(one).toContain("existing: any");
});

test("TCP, existing: any, a few ports, and ports outside are not", () => {
  expect(warnings(wide, { protocol: "tcp" })).toEqual([]);
  expect(warnings(wide, { existing: "any" })).toEqual([]);
  expect(warnings([{ first: 51_820, last: 51_829 }])).toEqual([]);
  expect(warnings([{ first: 20_000, last: 32_767 }])).toEqual([]);
});

test("any one is reported where that is asked for, but for those that are not handed out", () => {
  const of = (port: number, host: EphemeralPorts): number =>
    warnOfEphemeralPorts([mappingOf([{ first: port, last: port }])], host, "any").length;
  expect(of(51_820, host)).toBe(1);
  expect(of(53, host)).toBe(0);
  expect(of(51_820, { ...host, reserved: [{ first: 51_820, last: 51_820 }] })).toBe(0);
});

test("reserved ports are never handed out", () => {
  const reserved = [{ first: 30_000, last: 40_000 }];
  expect(warnings([{ first: 20_000, last: 40_000 }], {}, { ...host, reserved })).toEqual([]);
  expect(warnings(wide, {}, { ...host, reserved })[0]).toContain("10000 of the 20999 ports");
});
