// Goal: one event is one line, for people and for machines.
import { expect, test } from "vitest";
import { createLogger } from "../../../src/daemon/log.js";

function collect(json: boolean) {
  const lines: string[] = [];
  const logger = createLogger({
    json,
    write: (line) => lines.push(line),
    now: () => new Date(0),
  });
  return { lines, logger };
}

test("a plain line has its level first", () => {
  const { lines, logger } = collect(false);
  logger.log("warning", "doubtful");
  expect(lines).toEqual(["warning doubtful\n"]);
});

test("a message with line breaks and escapes stays one harmless line", () => {
  const { lines, logger } = collect(false);
  logger.log("info", "a\nb\u001b[31mc");
  expect(lines).toEqual(["info    a b\\u{1b}[31mc\n"]);
});

test("a machine's line has no character that steers, and keeps the value", () => {
  const { lines, logger } = collect(true);
  const message = "\u001B \u009B \u202E";
  logger.log("info", message);
  expect(lines[0]).toMatch(/^[\u0020-\u007E]*\n$/);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ message });
});

test("JSON lines carry time, level, message and details", () => {
  const { lines, logger } = collect(true);
  logger.log("error", "a\nb", { code: "LOCKED" });
  expect(lines).toHaveLength(1);
  expect(lines[0]?.endsWith("}\n")).toBe(true);
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "1970-01-01T00:00:00.000Z",
    level: "error",
    message: "a\nb",
    code: "LOCKED",
  });
});

test("what is not read is left out, and counted where the log goes on", () => {
  const lines: string[] = [];
  let full = false;
  const logger = createLogger({
    json: false,
    write: (line) => lines.push(line),
    isFull: () => full,
  });
  logger.log("info", "one");
  full = true;
  logger.log("info", "two");
  logger.log("error", "three");
  full = false;
  logger.log("info", "four");
  logger.log("info", "five");
  expect(lines).toEqual([
    "info    one\n",
    "warning the log was not read: 2 entries were dropped\n",
    "info    four\n",
    "info    five\n",
  ]);
});
