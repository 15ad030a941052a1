// Goal: colours are for terminals, or for who asks for them; nothing else in the environment brings them into a pipe.
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
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
