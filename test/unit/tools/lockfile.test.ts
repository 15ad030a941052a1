// Goal: a lock file that `npm ci` would refuse, or that is tied to one registry, is found before it
// is committed.
import { describe, expect, test } from "vitest";

import { findLockProblems, type Lock, type Manifest } from "../../../tools/lockfile.js";

const manifest: Manifest = { dependencies: { a: "1.0.0" } };

function problemsOf(packages: Lock["packages"], of: Manifest = manifest): string[] {
  return findLockProblems({ packages }, of).map((problem) => problem.split("\n")[0] ?? "");
}

describe("the lock file", () => {
  test("that holds everything that is asked for has no problem", () => {
    expect(
      problemsOf({
        "": { dependencies: { a: "1.0.0" } },
        "node_modules/a": { version: "1.0.0", optionalDependencies: { b: "2.0.0" } },
        "node_modules/a/node_modules/b": { version: "2.0.0" },
      }),
    ).toEqual([]);
  });

  test("finds a package in the folders above, as node does", () => {
    expect(
      problemsOf({
        "": {},
        "node_modules/@s/a": { dependencies: { c: "1" } },
        "node_modules/@s/a/node_modules/b": { dependencies: { c: "1" } },
        "node_modules/c": {},
      }),
    ).toEqual([]);
  });

  test("without a foreign platform's package is refused", () => {
    expect(
      problemsOf({ "": {}, "node_modules/a": { optionalDependencies: { b: "2.0.0" } } }),
    ).toEqual(["b, which node_modules/a asks for, is not locked"]);
  });

  test("that names a registry is refused", () => {
    expect(
      problemsOf({ "": {}, "node_modules/a": { resolved: "https://example.org/a.tgz" } }),
    ).toEqual(["node_modules/a is tied to https://example.org/a.tgz"]);
  });

  test("with an install script that was never reviewed is refused", () => {
    const packages = { "": {}, "node_modules/@s/a": { hasInstallScript: true } };
    expect(problemsOf(packages)).toEqual(["@s/a has an install script"]);
    expect(problemsOf(packages, { ...manifest, allowScripts: { "@s/a": false } })).toEqual([]);
  });
});

test("a version range in package.json is refused", () => {
  expect(problemsOf({}, { devDependencies: { a: "^1.0.0" } })).toEqual(["a@^1.0.0 is not pinned"]);
});
