// Goal: the layer check sees what it forbids, says what to do, and lets through what is allowed.
import { describe, expect, test } from "vitest";

import { findImports, findViolations, layerOf, layers } from "../../../tools/layer-rules.js";

function violationsOf(sources: Record<string, string>): string[] {
  return findViolations(new Map(Object.entries(sources))).map(
    ({ file, line, message }) => `${file}:${line}: ${message}`,
  );
}

describe("imports are found", () => {
  test.each([
    ['import { a } from "./a.js";', "./a.js", false, false],
    ['import type { A } from "./a.js";', "./a.js", true, false],
    ['import {\n  a,\n  b,\n} from "./a.js";', "./a.js", false, false],
    ['import "./a.js";', "./a.js", false, false],
    ['export * from "./a.js";', "./a.js", false, false],
    ['export { a } from "./a.js";', "./a.js", false, false],
    ['const { a } = await import("./a.js");', "./a.js", false, true],
  ])("%j", (text, specifier, typeOnly, dynamic) => {
    expect(findImports(text)).toEqual([{ specifier, line: 1, typeOnly, dynamic }]);
  });

  test("an export that imports nothing is no import", () => {
    expect(findImports('export const from = "./a.js";\nexport function f() {}\n')).toEqual([]);
  });

  test("the line is that of the statement", () => {
    expect(findImports('// one\n\nimport { a } from "./a.js";\n')).toMatchObject([{ line: 3 }]);
  });
});

describe("the rules", () => {
  test("are acyclic: no layer can reach itself through others", () => {
    const reach = (layer: string, seen: readonly string[]): void => {
      expect(seen).not.toContain(layer);
      const below: readonly string[] = layers[layer as keyof typeof layers];
      for (const next of below) reach(next, [...seen, layer]);
    };
    for (const layer of Object.keys(layers)) reach(layer, []);
  });

  test("a single file is a layer of its own", () => {
    expect(layerOf("src/main.ts")).toBe("main");
    expect(layerOf("src/config/parse/yaml.ts")).toBe("config");
  });

  test("an import downwards, of a neighbour and of the errors is allowed", () => {
    expect(
      violationsOf({
        "src/config/a.ts": 'import "./b.js";\nimport "../model/c.js";\nimport "../errors.js";\n',
        "src/errors.ts": "",
      }),
    ).toEqual([]);
  });

  test("files and folders are changed by descriptor only", () => {
    const text = 'import { existsSync, rmSync } from "node:fs";\n';
    expect(violationsOf({ "src/kernel/folder.ts": text })).toEqual([]);
    expect(violationsOf({ "src/daemon/a.ts": text })).toEqual([
      expect.stringContaining("src/daemon/a.ts:1: rmSync changes what is at a path"),
    ]);
    expect(violationsOf({ "src/daemon/a.ts": 'import "node:fs/promises";\n' })).toHaveLength(1);
  });

  test("an import upwards is refused, also of a type only", () => {
    expect(
      violationsOf({ "src/model/a.ts": '\nimport type { B } from "../config/b.js";\n' }),
    ).toEqual(["src/model/a.ts:2: model imports config (src/config/b.ts)"]);
  });

  test("the errors import nothing", () => {
    expect(violationsOf({ "src/errors.ts": 'import "./model/a.js";\n' })).toEqual([
      "src/errors.ts:1: errors imports model",
    ]);
  });

  test("a pure layer that reads files is refused", () => {
    expect(
      violationsOf({ "src/compile/a.ts": 'import { readFileSync } from "node:fs";\n' }),
    ).toEqual(["src/compile/a.ts:1: compile is pure and imports node:fs"]);
  });

  test("a package outside its home is refused, and so is one that has none", () => {
    expect(violationsOf({ "src/daemon/a.ts": 'import "koffi";\nimport "left-pad";\n' })).toEqual([
      "src/daemon/a.ts:1: daemon imports koffi, which is at home in kernel",
      "src/daemon/a.ts:2: left-pad has no home",
    ]);
  });

  test("a folder that is no layer is refused", () => {
    expect(violationsOf({ "src/utils/a.ts": "" })).toEqual([
      "src/utils/a.ts:0: src/utils is no layer",
    ]);
  });

  test("the product imports nothing of the tests", () => {
    expect(violationsOf({ "src/cli/a.ts": 'import "../../test/support/b.js";\n' })).toEqual([
      "src/cli/a.ts:1: imports test/support/b.ts, which is not part of the product",
    ]);
  });

  test("modules that import each other are refused, also when it is only for types", () => {
    const circle = {
      "src/model/a.ts": 'import type { B } from "./b.js";\n',
      "src/model/b.ts": 'import { c } from "./c.js";\n',
      "src/model/c.ts": 'import { a } from "./a.js";\n',
    };
    expect(violationsOf(circle)).toEqual([
      "src/model/a.ts:0: modules import each other: src/model/a.ts -> src/model/b.ts -> src/model/c.ts -> src/model/a.ts",
    ]);
    expect(violationsOf({ ...circle, "src/model/c.ts": "" })).toEqual([]);
  });

  test("a heavy package in the chain of imports from main is refused; behind import() or as a type it is not", () => {
    const kernel = { "src/kernel/ffi.ts": 'import koffi from "koffi";\n' };
    const main = { "src/main.ts": 'import "./cli/run.js";\n' };
    const eager = 'import { open } from "../kernel/ffi.js";\n';
    const lazy = 'import type { A } from "../kernel/ffi.js";\nawait import("../kernel/ffi.js");\n';
    expect(violationsOf({ ...main, ...kernel, "src/cli/run.ts": eager })).toEqual([
      "src/kernel/ffi.ts:1: koffi is loaded whenever ilm starts: src/main.ts -> src/cli/run.ts -> src/kernel/ffi.ts",
    ]);
    expect(violationsOf({ ...main, ...kernel, "src/cli/run.ts": lazy })).toEqual([]);
  });
});
