// Goal: `anyip` takes prefixes that a host can be given, and no others.
import { expect, test } from "vitest";
import { parseAnyip } from "../../../src/config/anyip.js";
import { settledPrefixes } from "../../../src/config/prefixes.js";
import { readQuickly } from "../../../src/config/quick.js";
import type { Prefix } from "../../../src/model/address.js";

test.each([
  ["203.0.113.0/24", "203.0.113.0/24"],
  ["203.0.113.9", "203.0.113.9/32"],
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["2001:db8:5::/48", "2001:db8:5::/48"],
  ["2001:DB8::5", "2001:db8::5/128"],
  ["fd00::/16", "fd00::/16"],
])("%s is taken", (text, prefix) => {
  expect(parseAnyip(text)).toEqual({ ok: true, value: prefix });
});

test.each([
  ["0.0.0.0/0", "0.0.0.0/0 would make the host take whatever it sends to others for its own"],
  ["::/0", "::/0 would make the host take"],
  ["128.0.0.0/1", "128.0.0.0/1 would make the host take"],
  ["2000::/3", "2000::/3 would make the host take"],
  ["127.0.0.0/8", "127.0.0.0/8 is the host's own in any case"],
  ["127.0.1.10", "127.0.1.10/32 is the host's own in any case"],
  ["::1", "::1/128 is the host's own in any case"],
  ["169.254.0.0/16", "is of each link alone"],
  ["fe80::/64", "is of each link alone"],
  ["224.0.0.0/8", "is multicast"],
  ["ff02::/16", "is multicast"],
  ["255.255.255.255", "is for no host's address"],
  ["0.0.0.0", "is for no host's address"],
  ["::", "is for no host's address"],
  ["203.0.113.5/24", "has bits set below the prefix length 24"],
  ["eth0", ""],
  ["", ""],
])("%j is refused, with what would be right", (text, reason) => {
  const parsed = parseAnyip(text);
  expect(parsed).toMatchObject({ ok: false, reason: expect.stringContaining(reason) as string });
  expect(parsed).toHaveProperty("hint");
});

test("the same prefixes are the same setting, however they are written", () => {
  const [one, other] = ["203.0.113.0/24", "10.9.0.0/16"] as [Prefix, Prefix];
  expect(settledPrefixes([one, other, one])).toEqual([other, one]);
  expect(settledPrefixes(one)).toEqual([one]);
});

test("alone it is a document, as services alone are", () => {
  for (const content of [{ anyip: "203.0.113.0/24" }, { services: {} }, { mappings: [] }]) {
    expect(readQuickly({ version: 1, ...content })).not.toBeNull();
  }
  expect(readQuickly({ version: 1, engine: "auto" })).toBeNull();
});
