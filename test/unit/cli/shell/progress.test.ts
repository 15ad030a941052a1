// Goal: long work says on a terminal what it is at, and nowhere else.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { manyMappings } from "../../../support/many.js";
import { ilmCommand } from "../../../support/paths.js";

let folder = "";
let file = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-progress-"));
  file = join(folder, "many.ndjson");
  writeFileSync(
    file,
    manyMappings(200_000, () => "127.0.1.10:8080"),
  );
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("on a terminal, with how far it is, and erased in the end", () => {
  // Work is long when its clock says so, however fast the machine is: each look at the clock is
  // 0.15 s later than the one before.
  const clock = join(folder, "clock.cjs");
  writeFileSync(clock, "let now = 0; performance.now = () => (now += 150);");
  const command = `${ilmCommand} check -f ${file}`;
  const { stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
    env: { ...process.env, TERM: "xterm", NODE_OPTIONS: `--require ${clock}` },
    encoding: "utf8",
  });
  // Between carriage returns and erasures: what was on the line one after the other.
  const shown = stdout.split("\r\u001B[K").map((line) => line.trim());
  expect(shown.join("\n")).toMatch(/^\d+ % (?:reading|checking) .*many\.ndjson$/m);
  expect(shown).toContain("compiling");
  expect(shown.at(-1)).toBe("OK: 0 services, 200000 mappings");
});

test("not in a pipe, nor on a dumb terminal", () => {
  const { stdout, stderr } = spawnSync(ilmCommand, ["check", "-f", file], { encoding: "utf8" });
  expect([stdout, stderr]).toEqual(["OK: 0 services, 200000 mappings\n", ""]);
  const dumb = spawnSync("script", ["-qec", `${ilmCommand} check -f ${file}`, "/dev/null"], {
    env: { ...process.env, TERM: "dumb" },
    encoding: "utf8",
  });
  expect(dumb.stdout.trim()).toBe("OK: 0 services, 200000 mappings");
});
