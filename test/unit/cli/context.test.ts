// Goal: colours are for terminals, or for who asks for them; nothing else in the environment brings them into a pipe.
import { spawnSync } from "node:child_process";
import pc from "picocolors";
import { describe, expect, test } from "vitest";
import { print, type Context } from "../../../src/cli/context.js";
import { ilmCommand } from "../../support/paths.js";

/** @param terminal whether the command writes to a terminal (that of util-linux's `script`) or to a pipe. */
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

describe("a reader who stalls", () => {
  /** A context whose reader takes what was written when the test says so. */
  function stalled(json: boolean) {
    let take: () => void = () => undefined;
    const written: string[] = [];
    const context: Context = {
      json,
      width: Infinity,
      colours: pc.createColors(false),
      isBehind: () => true,
      caughtUp: () =>
        new Promise((resolve) => {
          take = resolve;
        }),
      write: (text) => {
        written.push(text);
      },
      note: () => undefined,
    };
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
    const printing = print(context, rows, () => lines);
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
