// Goal: an address with a port is read in one way only, and written as it is read.
import { describe, expect, test } from "vitest";
import { parseEndpoint } from "../../../../src/cli/shell/endpoint.js";
import { formatEndpoint } from "../../../../src/model/endpoint.js";
import { IlmError } from "../../../../src/errors.js";
import { refusal } from "../../../support/refusal.js";

test.each([
  ["--metrics", "9465", /write 127\.0\.0\.1:9465 or \[::1\]:9465/i],
  ["--metrics", ":9465", /write 127\.0\.0\.1:9465/i],
  ["--metrics", "10.0.0.1", /write 10\.0\.0\.1:9465/i],
  ["--metrics", "here", /write 127\.0\.0\.1:9465/i],
  ["--listening", "443", /write 127\.0\.1\.10:443 .* \*:443/i],
])("what would be right for %s %s is on this host", (what, text, remedy) => {
  const found = refusal(() => parseEndpoint(text, what));
  expect(found.remedy).toMatch(remedy);
  expect(found.remedy).not.toContain("203.0.113");
});

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

describe("written as another program has it, it is refused with what to write", () => {
  test.each([
    ["203.0.113.5", "Write 203.0.113.5:443, with the port that the client dials."],
    [":443", "Write 203.0.113.5:443, with the address that the client dials."],
    ["*:443", "Write 203.0.113.5:443, with the address that the client dials."],
    ["443", "Write 203.0.113.5:443, with the address that the client dials."],
    ["2001:db8::5:53", "Write [2001:db8::5]:53."],
    ["[2001:db8::5]", "Write [2001:db8::5]:443, with the port that the client dials."],
    ["203.0.113.5:https", "Write 203.0.113.5:443."],
    ["203.0.113.5:0443", "Write 203.0.113.5:443."],
    ["203.0.113.5/443", "Write 203.0.113.5:443."],
    ["203.0.113.5:443/tcp", "Write 203.0.113.5:443."],
    ["tcp:203.0.113.5:443", "Write 203.0.113.5:443."],
    ["https://203.0.113.5/x", "Write 203.0.113.5:443."],
    ["[203.0.113.5]:443", "Write 203.0.113.5:443."],
    ["localhost:80", "Write 127.0.0.1:80 or [::1]:80."],
    [
      "www.example.com:80",
      "Write the address of www.example.com in its place: names are not looked up.",
    ],
  ])("%s", (text, remedy) => {
    expect(() => parseEndpoint(text, "the address dialled")).toThrow(
      expect.objectContaining({ code: "USAGE", remedy }) as Error,
    );
  });

  test.each([
    ["198.51.100.7", "Write 198.51.100.7:40000, with a port of the client's: any will do."],
    ["any", "Leave --from out for any client."],
  ])("%s as the client", (text, remedy) => {
    expect(() => parseEndpoint(text, "--from")).toThrow(
      expect.objectContaining({ code: "USAGE", remedy }) as Error,
    );
  });
});

test("written, IPv6 has brackets when a port follows", () => {
  expect(formatEndpoint("203.0.113.5", 80)).toBe("203.0.113.5:80");
  expect(formatEndpoint("2001:db8::5", 80)).toBe("[2001:db8::5]:80");
  expect(formatEndpoint("2001:db8::5", "same")).toBe("2001:db8::5");
  expect(formatEndpoint("*", 22)).toBe("*:22");
});
