// Goal: an address with a port is read in one way only, and written as it is read.
import { describe, expect, test } from "vitest";
import { formatEndpoint, parseEndpoint } from "../../../src/cli/endpoint.js";
import { IlmError } from "../../../src/errors.js";

describe("read", () => {
  test.each([
    ["203.0.113.5:443", "203.0.113.5", 443],
    ["[2001:db8::5]:53", "2001:db8::5", 53],
    ["[2001:DB8:0::5]:65535", "2001:db8::5", 65_535],
  ])("%s", (text, address, port) => {
    expect(parseEndpoint(text, "x")).toEqual({ address, port });
  });

  test.each([
    ["", "not an address with a port"],
    ["203.0.113.5", "not an address with a port"],
    ["2001:db8::5:53", "not an address with a port"],
    ["[2001:db8::5]", "not an address with a port"],
    ["[203.0.113.5]:80", "brackets around an IPv4 address"],
    ["203.0.113.5:0", "port"],
    ["203.0.113.5:65536", "port"],
    ["203.0.113.5:080", "leading zero"],
    ["203.0.113.5:http", "port"],
    ["203.0.113.05:80", "203.0.113.05"],
    ["[fe80::1%eth0]:80", "zone"],
    ["[::ffff:1.2.3.4]:80", "v4-mapped"],
  ])("%j is refused as a wrong command line", (text, reason) => {
    expect(() => parseEndpoint(text, "--from")).toThrow(IlmError);
    expect(() => parseEndpoint(text, "--from")).toThrow(reason);
    expect(() => parseEndpoint(text, "--from")).toThrow("--from");
  });
});

test("written, IPv6 has brackets when a port follows", () => {
  expect(formatEndpoint("203.0.113.5", 80)).toBe("203.0.113.5:80");
  expect(formatEndpoint("2001:db8::5", 80)).toBe("[2001:db8::5]:80");
  expect(formatEndpoint("2001:db8::5", "same")).toBe("2001:db8::5");
  expect(formatEndpoint("*", 22)).toBe("*:22");
});
