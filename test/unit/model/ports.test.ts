/** Port sets: their canonical form, their text, and the words for what is refused. */
import { describe, expect, test } from "vitest";

import {
  countPorts,
  formatPorts,
  mergePorts,
  parsePort,
  parsePorts,
  portsContain,
} from "../../../src/model/ports.js";

describe("a port list has one canonical form", () => {
  test.each([
    ["443", "443"],
    ["443,80", "80,443"],
    ["80,80", "80"],
    ["80,81", "80-81"],
    ["8000-8099,8050-8200", "8000-8200"],
    ["8000-8099,8100", "8000-8100"],
    ["1-10,3", "1-10"],
    ["*", "*"],
    ["80,*", "*"],
    ["1-65535", "*"],
    ["1,2-65535", "*"],
    ["7-7", "7"],
  ])("%s is %s", (text, canonical) => {
    const parsed = parsePorts(text);
    expect(parsed.ok && formatPorts(parsed.ports)).toBe(canonical);
  });
});

const range = "a port is 1 to 65535";
describe("what is not a port is refused with what would be right", () => {
  test.each([
    ["0", "the port 0 does not exist", range],
    ["65536", "the port 65536 does not exist", range],
    ["99999999999999999999999999", "the port 99999999999999999... does not exist", range],
    ["100-80", "the port range 100-80 is reversed", 'write "80-100"'],
    ["0-80", "the port 0 does not exist", range],
    ["80-65536", "the port 65536 does not exist", range],
    ["080", 'the port "080" has a leading zero', range],
    ["0x50", '"0x50" is not a port', 'write 443, "8000-8099" or "*"'],
    ["http", '"http" is not a port', 'write 443, "8000-8099" or "*"'],
    ["", '"" is not a port', 'write 443, "8000-8099" or "*"'],
    ["80-", '"80-" is not a port', 'write 443, "8000-8099" or "*"'],
    ["-80", '"-80" is not a port', 'write 443, "8000-8099" or "*"'],
    ["80 ", '"80 " is not a port', 'write 443, "8000-8099" or "*"'],
    ["1-2-3", '"1-2-3" is not a port', 'write 443, "8000-8099" or "*"'],
  ])("%j", (text, reason, hint) => {
    expect(parsePorts(text)).toEqual({ ok: false, reason, hint });
  });

  test.each(["", "0", "65536", "080", "80-81", "*", "+80", "8e1"])("%j as one port", (text) => {
    expect(parsePort(text).ok).toBe(false);
  });
});

test("one port is a number", () => {
  expect(parsePort("65535")).toEqual({ ok: true, port: 65535 });
});

test("ports are counted and found", () => {
  const ports = mergePorts([
    { first: 8000, last: 8099 },
    { first: 80, last: 80 },
  ]);
  expect(countPorts(ports)).toBe(101);
  expect([79, 80, 81, 7999, 8000, 8099, 8100].filter((port) => portsContain(ports, port))).toEqual([
    80, 8000, 8099,
  ]);
});

test("merging leaves its input alone", () => {
  const ranges = [
    { first: 5, last: 9 },
    { first: 1, last: 6 },
  ];
  mergePorts(ranges);
  expect(ranges).toEqual([
    { first: 5, last: 9 },
    { first: 1, last: 6 },
  ]);
});
