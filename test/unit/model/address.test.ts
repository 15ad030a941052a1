/** Addresses and prefixes: what is taken, its canonical form, and the words for what is refused. */
import { describe, expect, test } from "vitest";

import {
  addressBytes,
  addressFromBytes,
  familyOf,
  isBroadcast,
  isLinkLocal6,
  isLoopback4,
  isMulticast,
  isUniqueLocal6,
  isUnspecified,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixBits,
  prefixContains,
  prefixLength,
  type Address,
  type Prefix,
} from "../../../src/model/address.js";

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.address;
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.prefix;
}

describe("an address has one canonical text", () => {
  test.each([
    ["127.0.1.10", "127.0.1.10"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["FD5E:ED00::0010", "fd5e:ed00::10"],
    ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["::192.0.2.33", "::c000:221"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ])("%s is %s", (text, canonical) => {
    expect(parseAddress(text)).toEqual({ ok: true, address: canonical });
  });
});

const example = "write an IPv4 address such as 127.0.1.10 or an IPv6 address such as fd5e:ed00::10";
const octets = "write four decimal octets, each 0 to 255";
const groups = "an IPv6 address has eight groups of one to four hexadecimal digits";

describe("what is not an address is refused with what would be right", () => {
  test.each([
    ["", "the address is empty", example],
    ["127.1", '"127.1" is a short form', "write all four octets: 127.0.0.1"],
    ["10.1.258", '"10.1.258" is a short form', "write all four octets: 10.1.1.2"],
    ["2130706433", '"2130706433" is a short form', "write all four octets, each 0 to 255"],
    [
      "010.0.0.1",
      '"010.0.0.1" has the octet "010" with a leading zero, which some programs read as octal',
      "write 10.0.0.1 if decimal is meant",
    ],
    [
      "1.2.3.00",
      '"1.2.3.00" has the octet "00" with a leading zero, which some programs read as octal',
      "write 1.2.3.0 if decimal is meant",
    ],
    ["0x7f.0.0.1", '"0x7f.0.0.1" has a hexadecimal octet', octets],
    ["256.0.0.1", '"256.0.0.1" has the octet 256, more than 255', octets],
    ["1.2.3.4.5", '"1.2.3.4.5" has 5 octets', "an IPv4 address has four octets"],
    ["1.2.3.", '"1.2.3." is not an address', example],
    ["1.2.3.-4", '"1.2.3.-4" is not an address', example],
    ["localhost", '"localhost" is not an address', example],
    ["١.2.3.4", '"١.2.3.4" is not an address', example],
    [" 127.0.0.1", '" 127.0.0.1" contains white space', "write 127.0.0.1"],
    ["::1\n", '"::1\\n" contains white space', "write ::1"],
    ["[::1]", '"[::1]" has brackets, which are for an address with a port', "write ::1"],
    [
      "fe80::1%eth0",
      '"fe80::1%eth0" has a zone, which addresses here cannot have',
      "write fe80::1",
    ],
    ["10.0.0.0/8", '"10.0.0.0/8" is a prefix, one address is needed', "write 10.0.0.0"],
    ["::ffff:1.2.3.4", '"::ffff:1.2.3.4" is a v4-mapped address', "write it as IPv4: 1.2.3.4"],
    ["::FFFF:102:304", '"::FFFF:102:304" is a v4-mapped address', "write it as IPv4: 1.2.3.4"],
    ["1::2::3", '"1::2::3" has more than one "::"', '"::" is allowed once, for the zeros left out'],
    ["1:::2", '"1:::2" has more than two colons in a row', example],
    ["fd5e::12345", '"fd5e::12345" has the group "12345", longer than four digits', groups],
    [
      "1:2:3:4:5:6:7",
      '"1:2:3:4:5:6:7" is not an IPv6 address',
      'an IPv6 address has eight groups of hexadecimal digits, or fewer with one "::" for the zeros left out',
    ],
    ["fd5e::g", '"fd5e::g" is not an address', example],
    ["::1.2.3", '"::1.2.3" does not end in an IPv4 address: "1.2.3" is a short form', example],
  ])("%j", (text, reason, hint) => {
    expect(parseAddress(text)).toEqual({ ok: false, reason, hint });
  });

  test.each([":", ":1", "1:", "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", ":::"])(
    "%s",
    (text) => {
      expect(parseAddress(text).ok).toBe(false);
    },
  );

  test("a refusal of a very long text stays short", () => {
    const parsed = parseAddress("1".repeat(100_000));
    expect(!parsed.ok && parsed.reason.length).toBeLessThan(200);
  });
});

describe("a prefix", () => {
  test.each([
    ["203.0.113.0/24", "203.0.113.0/24"],
    ["203.0.113.7", "203.0.113.7/32"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["128.0.0.0/1", "128.0.0.0/1"],
    ["2001:DB8::/32", "2001:db8::/32"],
    ["2001:db8::1", "2001:db8::1/128"],
    ["::/0", "::/0"],
    ["::/80", "::/80"],
  ])("%s is %s", (text, canonical) => {
    expect(parsePrefix(text)).toEqual({ ok: true, prefix: canonical });
  });

  const length4 = "an IPv4 prefix length is 0 to 32";
  const length6 = "an IPv6 prefix length is 0 to 128";
  test.each([
    [
      "10.0.0.1/8",
      "10.0.0.1 has bits set below the prefix length 8",
      "write 10.0.0.0/8 for the network, or 10.0.0.1 for the one address",
    ],
    [
      "2001:db8::1/64",
      "2001:db8::1 has bits set below the prefix length 64",
      "write 2001:db8::/64 for the network, or 2001:db8::1 for the one address",
    ],
    [
      "192.168.255.255/23",
      "192.168.255.255 has bits set below the prefix length 23",
      "write 192.168.254.0/23 for the network, or 192.168.255.255 for the one address",
    ],
    ["10.0.0.0/33", "the prefix length 33 is more than 32", length4],
    ["::/129", "the prefix length 129 is more than 128", length6],
    ["10.0.0.0/", "the prefix length is missing", length4],
    ["10.0.0.0/08", 'the prefix length "08" has a leading zero', "write 10.0.0.0/8"],
    ["10.0.0.0/-1", 'the prefix length "-1" is not a number', length4],
    ["10.0.0.0/1000", 'the prefix length "1000" is more than 32', length4],
    [
      "10.0.0.0/255.0.0.0",
      '"255.0.0.0" is a mask, not a prefix length',
      `count its bits: ${length4}`,
    ],
    ["127.1/8", '"127.1" is a short form', "write all four octets: 127.0.0.1"],
    ["::ffff:0:0/96", '"::ffff:0:0" is a v4-mapped address', "write it as IPv4: 0.0.0.0"],
  ])("%s is refused", (text, reason, hint) => {
    expect(parsePrefix(text)).toEqual({ ok: false, reason, hint });
  });

  test("its parts are those of its own family", () => {
    const v4 = prefix("203.0.113.0/24");
    const v6 = prefix("2001:db8::/32");
    expect([familyOf(v4), prefixLength(v4), prefixAddress(v4)]).toEqual([4, 24, "203.0.113.0"]);
    expect([familyOf(v6), prefixLength(v6), prefixAddress(v6)]).toEqual([6, 32, "2001:db8::"]);
  });

  test("in the 128-bit space an IPv4 prefix has 96 bits more", () => {
    expect(prefixBits(prefix("203.0.113.0/24"))).toEqual({
      bytes: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 0),
      length: 120,
    });
    expect(prefixBits(prefix("2001:db8::/32")).length).toBe(32);
  });

  test.each([
    ["203.0.113.0/24", "203.0.113.255", true],
    ["203.0.113.0/24", "203.0.114.0", false],
    ["203.0.113.128/25", "203.0.113.127", false],
    ["0.0.0.0/0", "255.1.2.3", true],
    ["0.0.0.0/0", "::", false],
    ["::/0", "fd5e::1", true],
    ["::/0", "10.0.0.1", false],
    ["::/64", "10.0.0.1", false],
    ["2001:db8::/33", "2001:db8:8000::", false],
    ["2001:db8::/33", "2001:db8:7fff::", true],
    ["::1/128", "::1", true],
  ])("%s contains %s: %s", (outer, inner, contained) => {
    expect(prefixContains(prefix(outer), address(inner))).toBe(contained);
  });
});

describe("bytes", () => {
  test.each([
    ["127.0.1.10", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 1, 10]],
    ["255.255.255.255", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 255, 255, 255, 255]],
    ["fd5e:ed00::10", [0xfd, 0x5e, 0xed, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]],
    ["::", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
  ])("of %s are in network order, and give it back", (text, bytes) => {
    expect([...addressBytes(address(text))]).toEqual(bytes);
    expect(addressFromBytes(Uint8Array.from([9, 9, ...bytes, 9]), 2)).toBe(text);
  });

  test.each([-1, 1, 17])("that are not there (offset %i) are an error", (offset) => {
    expect(() => addressFromBytes(new Uint8Array(16), offset)).toThrow(RangeError);
  });
});

test("the kinds of address are told apart", () => {
  const kinds = {
    loopback: isLoopback4,
    ula: isUniqueLocal6,
    linkLocal: isLinkLocal6,
    unspecified: isUnspecified,
    multicast: isMulticast,
    broadcast: isBroadcast,
  };
  const kindsOf = (text: string): string[] =>
    Object.entries(kinds)
      .filter(([, is]) => is(address(text)))
      .map(([kind]) => kind);
  const expected: Record<string, string[]> = {
    "127.255.0.1": ["loopback"],
    "12.7.0.1": [],
    "::1": [],
    "fd5e:ed00::10": ["ula"],
    "fc00::": ["ula"],
    "fe00::1": [],
    "fe80::1": ["linkLocal"],
    "febf::1": ["linkLocal"],
    "fec0::1": [],
    "0.0.0.0": ["unspecified"],
    "::": ["unspecified"],
    "224.0.0.1": ["multicast"],
    "239.255.255.255": ["multicast"],
    "240.0.0.1": [],
    "ff02::1": ["multicast"],
    "ff::1": [],
    "255.255.255.255": ["broadcast"],
  };
  expect(Object.fromEntries(Object.keys(expected).map((text) => [text, kindsOf(text)]))).toEqual(
    expected,
  );
});
