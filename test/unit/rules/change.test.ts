// Goal: every change leads to the rules that the user means, and what cannot be done is refused
// with its remedy.
import { describe, expect, test } from "vitest";
import { rulesAfter } from "../../../src/rules/change.js";
import { inMemory } from "../../../src/model/rules.js";
import { refusal } from "../../support/refusal.js";
import { address, mapping, activeRules as rules, ruleSet } from "../daemon/fixtures.js";

const web = mapping("web");
const blog = mapping("tcp:81", { ports: [{ first: 81, last: 81 }] });
const other = mapping("tcp:81", {
  ports: [{ first: 81, last: 81 }],
  to: [{ address: address("127.0.1.11"), port: "same" }],
});

describe("apply", () => {
  test("replaces the file's part and keeps what was added at run time", () => {
    const file = inMemory(ruleSet());
    const after = rulesAfter(rules(ruleSet(web), [blog]), {
      kind: "apply",
      sources: ["/new.yaml"],
      given: [],
      file,
    });
    expect(after).toEqual({ sources: ["/new.yaml"], file, runtime: [blog] });
  });

  test("works when nothing is loaded", () => {
    const file = inMemory(ruleSet(web));
    const change = { kind: "apply", sources: [], given: [], file } as const;
    expect(rulesAfter(null, change)).toEqual({ sources: [], file, runtime: [] });
  });

  test("a file that has the name of a mapping added at run time is refused with both places", () => {
    const error = refusal(() =>
      rulesAfter(rules(ruleSet(), [blog]), {
        kind: "apply",
        sources: [],
        given: [],
        file: inMemory(ruleSet(other)),
      }),
    );
    expect(error.code).toBe("CONFIGURATION");
    expect(error.problems[0]?.message).toContain("rules.yaml:3");
    expect(error.problems[0]?.hint).toContain("ilm remove tcp:81");
  });

  test("a mapping added at run time becomes the file's when the file has it exactly so", () => {
    const added = { ...blog, origin: { file: "<runtime>", line: 0, column: 0 } };
    const kept = mapping("tcp:83", { ports: [{ first: 83, last: 83 }] });
    const file = inMemory(ruleSet(blog));
    const change = { kind: "apply", sources: [], given: [], file } as const;
    expect(rulesAfter(rules(ruleSet(), [added, kept]), change).runtime).toEqual([kept]);
  });

  test("a mapping for a time is no twin of one that the file has for good", () => {
    const file = inMemory(ruleSet(blog));
    const change = { kind: "apply", sources: [], given: [], file } as const;
    const before = rules(ruleSet(), [{ ...blog, until: 1000 }]);
    expect(refusal(() => rulesAfter(before, change)).code).toBe("CONFIGURATION");
  });
});

describe("add", () => {
  test("puts the mapping beside the file's", () => {
    const after = rulesAfter(rules(ruleSet(web)), {
      kind: "add",
      mappings: [blog],
      replace: false,
    });
    expect(after.file.read().mappings).toEqual([web]);
    expect(after.runtime).toEqual([blog]);
  });

  test("the same again changes nothing, wherever it was written", () => {
    const again = { ...blog, origin: { file: "<runtime>", line: 0, column: 0 } };
    const before = rules(ruleSet(web), [blog]);
    expect(rulesAfter(before, { kind: "add", mappings: [again], replace: false })).toEqual(before);
  });

  test("another one of the same name is refused, and the remedy works", () => {
    const before = rules(ruleSet(web), [blog]);
    const error = refusal(() =>
      rulesAfter(before, { kind: "add", mappings: [other], replace: false }),
    );
    expect(error.code).toBe("CONFIGURATION");
    expect(error.problems[0]?.hint).toContain("--replace");
    const after = rulesAfter(before, { kind: "add", mappings: [other], replace: true });
    expect(after.runtime).toEqual([other]);
  });

  test.each([true, false])(
    "two of one name are refused as given twice, whether they replace others: %s",
    (replace) => {
      const change = { kind: "add", mappings: [blog, other], replace } as const;
      const error = refusal(() => rulesAfter(rules(ruleSet(web)), change));
      expect(error.problems.map(({ message }) => message)).toEqual([
        "the mapping tcp:81 (tcp) is given twice",
      ]);
    },
  );

  test("the same mapping given twice is one", () => {
    const change = { kind: "add", mappings: [blog, blog], replace: false } as const;
    expect(rulesAfter(rules(ruleSet(web)), change).runtime).toEqual([blog]);
  });

  test("the same name for the other protocol is another mapping", () => {
    const udp = mapping("web", { protocol: "udp" });
    const after = rulesAfter(rules(ruleSet(web)), { kind: "add", mappings: [udp], replace: false });
    expect(after.runtime).toEqual([udp]);
  });
});

describe("remove", () => {
  test("takes every protocol of the name", () => {
    const both = [mapping("dns"), mapping("dns", { protocol: "udp" }), blog];
    const after = rulesAfter(rules(ruleSet(web), both), { kind: "remove", names: ["dns"] });
    expect(after.runtime).toEqual([blog]);
  });

  test("a mapping of the file is refused, with its place and where to remove it", () => {
    const error = refusal(() =>
      rulesAfter(rules(ruleSet(web)), { kind: "remove", names: ["web"] }),
    );
    expect(error.code).toBe("NOT_FOUND");
    expect(error.message).toContain("rules.yaml:3");
    expect(error.remedy).toContain("ilm apply -f /etc/ilm/rules.yaml");
  });

  test("an unknown name is refused, with those that there are", () => {
    const error = refusal(() =>
      rulesAfter(rules(ruleSet(web), [blog]), { kind: "remove", names: ["blog"] }),
    );
    expect(error.code).toBe("NOT_FOUND");
    expect(error.remedy).toContain("tcp:81");
  });

  test("of several names one unknown refuses all", () => {
    const before = rules(ruleSet(), [blog]);
    const names = ["tcp:81", "unknown"];
    expect(refusal(() => rulesAfter(before, { kind: "remove", names })).code).toBe("NOT_FOUND");
  });
});
