// Goal: what a change did is told by names that can be told apart, whole or with how many more.
import { describe, expect, test } from "vitest";
import { noDifference } from "../../../src/rules/summary.js";
import { describeChange, listNames } from "../../../src/words/change.js";

function many(count: number) {
  const names = Array.from({ length: Math.min(count, 100) }, (_, index) => `m${index}`);
  return { count, names, protocols: names.map(() => "tcp" as const) };
}

const dns = { count: 2, names: ["dns", "dns"], protocols: ["tcp", "udp"] } as const;

describe("a change in one line", () => {
  test("names the protocol where a name is there twice", () => {
    expect(describeChange(1, { ...noDifference, removed: dns })).toBe(
      "1 mapping, +0 -2 ~0: - dns tcp, - dns udp",
    );
  });

  test("of an entry of an earlier version, without protocols, has the names alone", () => {
    expect(describeChange(1, { ...noDifference, removed: { ...dns, protocols: [] } })).toBe(
      "1 mapping, +0 -2 ~0: - dns, - dns",
    );
  });

  test("of many names the first and how many more there are, never that there is one more", () => {
    const added = (count: number): string =>
      describeChange(2000, { ...noDifference, added: many(count) });
    expect(added(6)).toMatch(/: \+ m0, .*, \+ m5$/);
    expect(added(1500)).toBe(
      "2000 mappings, +1500 -0 ~0: + m0, + m1, + m2, + m3, + m4 and 1495 more",
    );
  });

  test("that only drains says nothing of mappings that came or went", () => {
    const drained = [{ destination: "redis", mappings: many(1) }];
    const undrained = [{ destination: "udp:dns", mappings: dns }];
    expect(describeChange(9, { ...noDifference, drained, undrained })).toBe(
      "9 mappings: udp:dns gets new connections again (dns tcp, dns udp), redis gets nobody new (m0)",
    );
  });

  test("that drains and adds tells both", () => {
    const drained = [{ destination: "redis", mappings: many(7) }];
    expect(describeChange(9, { ...noDifference, added: many(1), drained })).toBe(
      "9 mappings, +1 -0 ~0: + m0, redis gets nobody new (m0, m1, m2, m3, m4 and 2 more)",
    );
  });
});

describe("a list of names", () => {
  test("names the protocol where a name is there twice", () => {
    expect(listNames({ ...noDifference, removed: dns }, 0)).toBe("  - dns tcp\n  - dns udp\n");
  });

  test("says how many more there are of what kind", () => {
    expect(listNames({ ...noDifference, removed: many(1500) }, 9)).toMatch(
      /^( {2}- m\d\n){10} {2}and 1490 more that are gone\n$/,
    );
    expect(listNames({ ...noDifference, changed: many(11) }, 9)).toMatch(/^( {2}~ m\d+\n){11}$/);
  });

  test("of the first mappings of all is left out, and what is drained is not", () => {
    const drained = [{ destination: "web", mappings: many(1) }];
    expect(listNames({ ...noDifference, added: many(3), drained }, 3)).toBe(
      "  web gets nobody new (m0)\n",
    );
  });
});
