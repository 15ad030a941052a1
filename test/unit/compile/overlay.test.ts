// Goal: an overlay is laid where it decides as the whole would, and refused where only the whole
// can.
import { DrainedPlaces } from "../../../src/rules/drained.js";
import { Permits } from "../../../src/rules/permits.js";
import { describe, expect, test } from "vitest";
import { parseMappingArgument } from "../../../src/config/argument.js";
import { compiledBase } from "../../../src/compile/base.js";
import { compile } from "../../../src/compile/compile.js";
import { type Overlay, compileOverlay } from "../../../src/compile/overlay.js";
import type { Mapping } from "../../../src/model/mapping.js";

/** Without services. */
const around = { permits: new Permits([]), drained: new DrainedPlaces([], []) };

const firstRule = 1000;

function parse(texts: readonly string[]): Mapping[] {
  return texts.flatMap((text) => parseMappingArgument(text, []));
}

function lay(file: readonly (string | Mapping)[], runtime: readonly string[]): Overlay | null {
  const mappings = file.flatMap((one) => (typeof one === "string" ? parse([one]) : [one]));
  const below = compile({ sources: [], file: { services: [], mappings }, runtime: [] });
  const above = { added: [], removed: [], runtime: parse(runtime) };
  return compileOverlay(above, compiledBase(below), firstRule, around);
}

/** What the file has got since, and the indexes of what it has no more. */
interface Change {
  readonly added?: readonly string[];
  readonly removed?: readonly number[];
}

function layChange(file: readonly string[], { added = [], removed = [] }: Change): Overlay | null {
  const mappings = parse(file);
  const below = compile({ sources: [], file: { services: [], mappings }, runtime: [] });
  const gone = removed.map((index) => ({ index, mapping: mappings[index]! }));
  const above = { added: parse(added), removed: gone, runtime: [] };
  return compileOverlay(above, compiledBase(below), firstRule, around);
}

function required(overlay: Overlay | null): Overlay {
  if (overlay === null) throw new Error("no overlay was laid");
  return overlay;
}

const rule = (number: number): number => firstRule + number - 1;

describe("an overlay", () => {
  test("on ports that nothing covers has them for itself", () => {
    const { classes, exact } = required(lay(["tcp:80=127.0.0.2"], ["tcp:81=127.0.0.3"]));
    expect(classes).toEqual([
      { protocol: "tcp", ports: [81], below: undefined, fallback: { 4: rule(1), 6: rule(1) } },
    ]);
    expect(exact.count).toBe(0);
  });

  test("keeps what is below for the addresses that it does not name", () => {
    const { classes, exact } = required(
      lay(["tcp:80=127.0.0.2"], ["tcp:80@203.0.113.1=127.0.0.3"]),
    );
    expect(classes).toMatchObject([
      { below: { number: 1, asks: false }, fallback: { 4: 1, 6: 1 } },
    ]);
    expect([exact.count, exact.target[0]]).toEqual([1, rule(1)]);
  });

  test("comes first with fewer ports, and for the others of its ports not at all", () => {
    const { classes } = required(
      lay(["tcp:80-90=127.0.0.2", "tcp:85=127.0.0.4"], ["tcp:84-85=127.0.0.3"]),
    );
    const byPort = new Map(
      classes.flatMap(({ ports, fallback }) => ports.map((port) => [port, fallback[4]])),
    );
    expect(byPort.get(84)).toBe(rule(1));
    expect(byPort.get(85)).toBeLessThan(firstRule);
  });

  test("of a prefix comes before the same prefix below, if it has fewer ports", () => {
    const below = "tcp:80-90@198.51.100.0/24=127.0.0.2:80";
    expect(required(lay([below], ["tcp:80@198.51.100.0/24=127.0.0.3"])).prefixes.count).toBe(1);
    const { prefixes } = required(
      lay(
        [below],
        ["tcp:1-1000@198.51.100.0/24=127.0.0.3:80", "tcp:1-1000@192.0.2.0/24=127.0.0.3:80"],
      ),
    );
    // Once on the ports of its own, with both; once on those of below, with the other prefix alone.
    expect(prefixes.count).toBe(3);
  });
});

describe("an overlay of a file's changes", () => {
  const host = "tcp:80@203.0.113.1=127.0.0.2";
  const net = "tcp:80@203.0.113.0/24=127.0.0.3";
  const wide = "tcp:80@203.0.0.0/16=127.0.0.4";

  test("lets what is less specific decide where an address had a mapping", () => {
    const { exact, prefixes, classes } = required(layChange([host, net], { removed: [0] }));
    expect([exact.count, exact.target[0]]).toEqual([1, 0]);
    expect(prefixes.count).toBe(0);
    expect(classes).toMatchObject([{ protocol: "tcp", ports: [80] }]);
  });

  test("says what decides where a prefix had a mapping: the next around it, or that for all addresses, or nothing", () => {
    const around = required(layChange([net, wide], { removed: [0] }));
    expect([around.prefixes.count, around.prefixes.target[0]]).toEqual([1, 2]);
    expect(around.levels).toEqual(["prefix"]);
    const all = required(layChange([net, "tcp:80=127.0.0.5"], { removed: [0] }));
    expect([all.prefixes.target[0], all.levels]).toEqual([2, ["default"]]);
    const none = required(layChange([net], { removed: [0] }));
    expect([none.prefixes.target[0], none.levels]).toEqual([0, ["default"]]);
    const both = required(layChange([net, wide], { removed: [0, 1] }));
    expect([...both.prefixes.target]).toEqual([0, 0]);
  });

  test("has nothing for all addresses when the mapping for those is gone", () => {
    const { classes } = required(layChange(["tcp:80=127.0.0.5", net], { removed: [0] }));
    expect(classes[0]?.fallback).toEqual({ 4: 0, 6: 0 });
  });

  test("has the new one in the place of one that leads elsewhere now", () => {
    const after = "tcp:80@203.0.113.1=127.0.0.9";
    const { exact } = required(layChange([host], { removed: [0], added: [after] }));
    expect([exact.count, exact.target[0]]).toEqual([1, rule(1)]);
    const net9 = "tcp:80@203.0.113.0/24=127.0.0.9";
    const { prefixes, levels } = required(layChange([net, host], { removed: [0], added: [net9] }));
    expect([prefixes.count, prefixes.target[0], levels]).toEqual([1, rule(1), ["prefix"]]);
    const all = required(
      layChange(["tcp:80=127.0.0.5", net], { removed: [0], added: ["tcp:80=127.0.0.9"] }),
    );
    expect(all.classes[0]?.fallback).toEqual({ 4: rule(1), 6: rule(1) });
  });

  test("is refused where the new one may hide another, or ties with it", () => {
    const tie = "tcp:80@203.0.113.1=127.0.0.9";
    expect(layChange([host], { added: [tie] })).toBeNull();
    // Stands before one with more ports.
    const range = "tcp:80-81@203.0.113.1=127.0.0.2:80";
    expect(layChange([range], { added: [host] })).toBeNull();
    // With its neighbour it fills up the prefix around both.
    const pair = "tcp:80@203.0.113.0/31=127.0.0.3";
    expect(layChange(["tcp:80@203.0.113.0=127.0.0.2", pair], { added: [host] })).toBeNull();
    expect(layChange([host], { added: [pair] })).toBeNull();
    // No million of addresses fills up this.
    expect(layChange(["tcp:80@203.0.0.0/8=127.0.0.3"], { added: [host] })).not.toBeNull();
  });
});

describe("the whole is compiled instead", () => {
  const refused = (file: readonly (string | Mapping)[], ...runtime: readonly string[]): void => {
    expect(lay(file, runtime)).toBeNull();
  };

  test("when it ties with a mapping below", () => {
    refused(["tcp:80@203.0.113.0/24=127.0.0.2"], "tcp:80@203.0.113.0/24=127.0.0.3");
    refused(["tcp:80@203.0.113.1=127.0.0.2"], "tcp:80@203.0.113.1=127.0.0.3");
    refused(["tcp:80,81@203.0.113.0/24=127.0.0.2"], "tcp:80,82@203.0.113.0/24=127.0.0.3");
  });

  test("when two of its own tie", () => {
    refused([], "tcp:80,81=127.0.0.2", "tcp:80,82=127.0.0.3");
  });

  test("when it would never match", () => {
    refused(["tcp:80=127.0.0.2", "tcp:81=127.0.0.2"], "tcp:80-81=127.0.0.3");
  });

  test("when mappings of the port have conditions, above or below", () => {
    const [plain] = parse(["tcp:80@203.0.113.1=127.0.0.2"]);
    if (plain === undefined) throw new Error("nothing was parsed");
    refused([{ ...plain, interfaces: ["eth0"] }], "tcp:80=127.0.0.3");
    const over = compileOverlay(
      { added: [], removed: [], runtime: [{ ...plain, interfaces: ["eth0"] }] },
      compiledBase(compile({ sources: [], file: { services: [], mappings: [] }, runtime: [] })),
      firstRule,
      around,
    );
    expect(over).toBeNull();
  });

  test("when it has ports beside very many sets of ports", () => {
    const many = Array.from({ length: 5000 }, (_, i) => `tcp:${i + 1}=127.0.0.2`);
    refused(many, "tcp:1-65535@203.0.113.1=127.0.0.3");
  });
});
