// Goal: `floating` takes addresses that may move between hosts, and no others.
import { expect, test } from "vitest";
import { parseFloating } from "../../../src/config/floating.js";

test.each([
  ["203.0.113.77", "203.0.113.77/32"],
  ["203.0.113.0/24", "203.0.113.0/24"],
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["2001:DB8::77", "2001:db8::77/128"],
])("%s is taken", (text, prefix) => {
  expect(parseFloating(text)).toEqual({ ok: true, value: prefix });
});

test.each([
  ["0.0.0.0/0", "0.0.0.0/0 is most addresses"],
  ["::/0", "::/0 is most addresses"],
  ["2000::/3", "2000::/3 is most addresses"],
  ["127.0.1.10", "127.0.1.10/32 does not move between hosts"],
  ["::1", "::1/128 does not move between hosts"],
  ["0.0.0.0", "0.0.0.0/32 does not move between hosts"],
  ["224.0.0.5", "224.0.0.5/32 does not move between hosts"],
  ["fe80::1", "fe80::1/128 is of each link alone"],
  ["203.0.113.77/24", "has bits set below the prefix length 24"],
  ["eth0", ""],
])("%j is refused, with what would be right", (text, reason) => {
  const parsed = parseFloating(text);
  expect(parsed).toMatchObject({ ok: false, reason: expect.stringContaining(reason) as string });
  expect(parsed).toHaveProperty("hint");
});
