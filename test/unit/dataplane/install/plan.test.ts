// Goal: what a change builds is no more than it needs: an overlay where that decides the same, else
// everything.
import { describe, expect, test } from "vitest";
import { endpointsOf, planWhole, wantedOf } from "../../../../src/dataplane/install/plan.js";
import { IlmError } from "../../../../src/errors.js";
import type { Mapping } from "../../../../src/model/mapping.js";
import type { Rules } from "../../../../src/model/rules.js";
import { address, mapping, prefix, ruleSet, rules } from "../../daemon/fixtures.js";

const choice = { engine: "registry", kfuncTrouble: null } as const;
const onPort = (name: string, port: number, more: Partial<Mapping> = {}): Mapping =>
  mapping(name, { ports: [{ first: port, last: port }], ...more });
const to = (host: string): Partial<Mapping> => ({ to: [{ address: address(host), port: 8080 }] });

function plan(active: Rules, layeredFrom?: number): ReturnType<typeof planWhole> {
  return planWhole(active, wantedOf(undefined, active, choice), layeredFrom);
}

describe("what is wanted", () => {
  test("counts the mappings of the file and those added at run time", () => {
    const active = rules(ruleSet(onPort("a", 1), onPort("b", 2)), [onPort("c", 3)]);
    expect(wantedOf(undefined, active, choice).mappings).toBe(3);
  });

  test("has one digest of the file, and one of all, which a mapping added at run time changes", () => {
    const file = ruleSet(onPort("a", 1));
    const [alone, more] = [rules(file), rules(file, [onPort("b", 2)])].map((each) =>
      wantedOf(undefined, each, choice),
    );
    expect(more?.fileDigest).toBe(alone?.fileDigest);
    expect(more?.digest).not.toBe(alone?.digest);
  });
});

describe("a plan from nothing", () => {
  const file = ruleSet(onPort("a", 80, to("127.0.1.10")), onPort("b", 81, to("127.0.1.11")));
  const added = [onPort("c", 82, to("127.0.1.12"))];

  test("of a small file is one set of tables, with what was added at run time", () => {
    const { whole, overlay, layers } = plan(rules(file, added));
    expect([whole?.mappings.length, overlay, layers]).toEqual([3, null, null]);
  });

  test("of a large file has tables of the file's mappings alone, on which overlays can lie", () => {
    const { whole, overlay, layers } = plan(rules(file), 1);
    expect(whole?.mappings.length).toBe(2);
    expect(layers).toMatchObject({ mappings: 2, protocols: ["tcp"] });
    expect(overlay).toBeNull();
  });

  test("of a large file with mappings added at run time has these in an overlay, and its endpoints last", () => {
    const found = plan(rules(file, added), 1);
    expect(found.whole?.mappings.length).toBe(2);
    expect(found.overlay?.compiled.mappings.length).toBe(1);
    expect(endpointsOf(found).map((endpoint) => endpoint.address)).toEqual([
      "127.0.1.10",
      "127.0.1.11",
      "127.0.1.12",
    ]);
  });

  test("names the protocols of both", () => {
    const udp = onPort("dns", 53, { protocol: "udp", ...to("127.0.1.53") });
    expect(plan(rules(file, [udp]), 1).protocols).toEqual(["tcp", "udp"]);
  });

  test("of mappings with conditions added at run time is one set of tables", () => {
    const near = onPort("near", 80, { ...to("127.0.1.20"), from: [prefix("10.0.0.0/8")] });
    const { whole, overlay, layers } = plan(rules(file, [near]), 1);
    expect([whole?.mappings.length, overlay, layers]).toEqual([3, null, null]);
  });

  test("of rules of which two tie is refused", () => {
    expect(() => plan(rules(ruleSet(onPort("a", 80), onPort("b", 80))))).toThrow(IlmError);
  });
});
