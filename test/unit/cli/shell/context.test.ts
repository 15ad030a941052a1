// Goal: colours are for terminals, or for who asks for them; nothing else brings escape characters
// into what is printed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { print } from "../../../../src/cli/shell/context.js";
import { published } from "../../../../src/json/published.js";
import { contextFor } from "../fixtures.js";
import { ilmCommand } from "../../../support/paths.js";

/**
 * What a command prints. `terminal`: it writes to one (that of util-linux's `script`), and not to a
 * pipe.
 */
function coloured(
  terminal: boolean,
  env: Readonly<Record<string, string>>,
  ...options: readonly string[]
): boolean {
  const command = [ilmCommand, ...options, "doctor"];
  const [file = "", ...args] = terminal
    ? ["script", "-qec", command.join(" "), "/dev/null"]
    : command;
  const { stdout } = spawnSync(file, args, {
    env: { PATH: process.env["PATH"], TERM: "xterm", ...env },
    encoding: "utf8",
  });
  expect(stdout).toContain("kernel: Linux");
  return stdout.includes("\u001B[3");
}

test("a terminal gets colours, unless it is dumb", () => {
  expect(coloured(true, {})).toBe(true);
  expect(coloured(true, { TERM: "dumb" })).toBe(false);
});

test("a pipe gets no colours, also where CI is set", () => {
  expect(coloured(false, {})).toBe(false);
  expect(coloured(false, { CI: "true" })).toBe(false);
});

test("FORCE_COLOR brings colours to a pipe; NO_COLOR and --no-color take them away", () => {
  expect(coloured(false, { FORCE_COLOR: "1" })).toBe(true);
  expect(coloured(false, { FORCE_COLOR: "1" }, "--no-color")).toBe(false);
  expect(coloured(true, { NO_COLOR: "1" })).toBe(false);
});

test("the name of a file neither steers a terminal nor forges a line, and JSON keeps it", () => {
  const folder = mkdtempSync(join(tmpdir(), "ilm-names-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  const name = "\u001B[2J\u009B\u202E\nOK: all good.yaml";
  writeFileSync(join(folder, name), "version: 1\nmappings:\n  - { port: 70000, to: 127.0.1.10 }\n");
  const check = (...options: readonly string[]) =>
    spawnSync(ilmCommand, ["check", "-f", folder, ...options], {
      env: { PATH: process.env["PATH"], FORCE_COLOR: "1" },
      encoding: "utf8",
    });
  const { stdout, stderr } = check();
  expect(stdout).toBe("");
  expect(stderr).toContain(`${folder}/\\u{1b}[2J\\u{9b}\\u{202e}\\u{a}OK: all good.yaml:3:13:`);
  expect(stderr).toMatch(/^[\u0020-\u007E\n]*$/);
  const json = check("--json").stdout;
  expect(json).toMatch(/^[\u0020-\u007E\n]*$/);
  expect(JSON.parse(json)).toMatchObject({ problems: [{ file: join(folder, name) }] });
});

describe("a reader who stalls", () => {
  /** A context whose reader takes what was written when the test says so. */
  function stalled(json: boolean) {
    let take: () => void = () => undefined;
    const written: string[] = [];
    const { context } = contextFor(json, {
      isBehind: () => true,
      caughtUp: () =>
        new Promise((resolve) => {
          take = resolve;
        }),
      write: (text) => {
        written.push(text);
      },
    });
    return { context, written, take: () => take() };
  }

  const rows = Array.from({ length: 40_000 }, (_, i) => ({
    row: i,
    name: `${"\u{1F600}".repeat(40)}${i}`,
  }));
  const lines = rows.map(({ name }) => `${name}\n`).join("");

  test.each([
    ["JSON", true, JSON.stringify(rows, null, 2) + "\n"],
    ["text", false, lines],
  ])("is written one piece of %s at a time, and gets all of it", async (_form, json, whole) => {
    const { context, written, take } = stalled(json);
    const printing = print(context, published<typeof rows>()(rows), () => lines);
    for (let pieces = 1; written.join("").length < whole.length; pieces++) {
      expect(written).toHaveLength(pieces);
      take();
      await new Promise((resolve) => setImmediate(resolve));
    }
    take();
    await printing;
    expect(written.length).toBeGreaterThan(3);
    expect(written.join("")).toBe(whole);
    // No character is torn.
    expect(written.filter((piece) => /[\uD800-\uDBFF]$/.test(piece))).toEqual([]);
  });
});
