// Goal: the demo does not call a dial good that went elsewhere, or that hides the client.
import { describe, expect, test } from "vitest";

import type { DialResult } from "../../../src/demo/messages.js";
import { judge, linesOfServices } from "../../../src/demo/scenario.js";

const expected = {
  protocol: "tcp",
  address: "203.0.113.1",
  port: 80,
  daemon: "web",
  why: "",
} as const;
const good = {
  outcome: "answered",
  from: "203.0.113.1:80",
  answer: { daemon: "web", pid: 1, client: "198.51.100.7:40000", dialled: "203.0.113.1:80" },
} as const;

describe("a dial is as expected", () => {
  test("when the right daemon sees client and dialled address", () => {
    expect(judge(expected, good)).toBeNull();
  });

  test("the same over IPv6", () => {
    const result: DialResult = {
      outcome: "answered",
      from: "[2001:db8::1]:80",
      answer: { ...good.answer, client: "[2001:db8:c::7]:40000", dialled: "[2001:db8::1]:80" },
    };
    expect(judge({ ...expected, address: "2001:db8::1" }, result)).toBeNull();
  });

  test("when a refusal was expected and came", () => {
    expect(judge({ ...expected, daemon: null }, { outcome: "refused" })).toBeNull();
  });
});

describe("a dial is not as expected", () => {
  const cases: readonly (readonly [string, DialResult])[] = [
    ["another daemon answers", { ...good, answer: { ...good.answer, daemon: "ssh" } }],
    ["the daemon sees a proxy", { ...good, answer: { ...good.answer, client: "127.0.0.1:4" } }],
    [
      "the address is translated",
      { ...good, answer: { ...good.answer, dialled: "127.0.1.10:80" } },
    ],
    ["the reply comes from elsewhere", { ...good, from: "127.0.1.53:53" }],
    ["it is refused", { outcome: "refused" }],
    ["it fails", { outcome: "failed", reason: "no answer" }],
  ];

  test.each(cases)("when %s", (_title, result) => {
    expect(judge(expected, result)).toMatch(/^expected: /);
  });

  test("when a daemon answers where none should", () => {
    expect(judge({ ...expected, daemon: null }, good)).toBe("expected: refused at once");
  });
});

test("the lines of services are those of their blocks, and no others", () => {
  const text =
    "services:\n  a: { b: 1 }\n\n  # c\n  c:\n    d: 1\n    e: 2\n  f:\n    g: 3\nmappings:\n";
  expect(linesOfServices(text, ["c"])).toEqual(["  c:", "    d: 1", "    e: 2"]);
});
