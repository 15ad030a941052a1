// Goal: a file and the mappings given beside it make one rule set, in which arguments may name the
// file's services.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadDesired } from "../../../src/control/desired.js";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-desired-"));
  path = join(folder, "rules.yaml");
  writeFileSync(
    path,
    "version: 1\nservices:\n  web: { address: 127.0.1.10 }\nmappings:\n  - { name: web, port: 80, to: web }\n",
  );
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

test("an argument may lead to a service of the file", async () => {
  const desired = await loadDesired({ paths: [path], mappings: ["tcp:8080=web"] });
  expect(desired.sources).toEqual([path]);
  expect(desired.file.read().mappings.map(({ name }) => name)).toEqual(["web", "tcp:8080"]);
  expect(desired.file.read().mappings.at(1)?.to).toMatchObject([
    { address: "127.0.1.10", service: "web" },
  ]);
  expect(desired.given).toEqual(["tcp:8080=web"]);
});

test("without a file there is no source", async () => {
  const desired = await loadDesired({ paths: [], mappings: ["tcp:80=127.0.1.10"] });
  expect(desired.sources).toEqual([]);
  expect(desired.file.read().mappings).toHaveLength(1);
});

test("the same mapping twice is refused", async () => {
  const mappings = ["tcp:80=127.0.1.10", "tcp:80=127.0.1.11"];
  await expect(loadDesired({ paths: [], mappings })).rejects.toMatchObject({
    code: "CONFIGURATION",
  });
});

test("a file that is not there is a configuration error", async () => {
  const missing = loadDesired({ paths: [join(folder, "none.yaml")], mappings: [] });
  await expect(missing).rejects.toMatchObject({ code: "CONFIGURATION" });
});
