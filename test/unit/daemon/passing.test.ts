// Goal: what the host is short of is tried again, and what is wrong is not.
import { describe, expect, test } from "vitest";
import { mayPass, pauseAfter, untilItPasses } from "../../../src/daemon/passing.js";
import { configurationError, IlmError } from "../../../src/errors.js";
import { syscallError } from "../../../src/kernel/ffi.js";

const EPERM = 1;
const ENOMEM = 12;
const EMFILE = 24;
const ENOSPC = 28;

function nodeError(code: string): Error {
  return Object.assign(new Error(`${code}: words, open '/run/ilm'`), { code, syscall: "open" });
}

describe("may pass", () => {
  test.each([
    ["a call that found no descriptor", syscallError("bpf", EMFILE)],
    ["a call that found no memory", syscallError("bpf", ENOMEM)],
    ["an error of node's own calls", nodeError("EROFS")],
    [
      "what was caused by one",
      new IlmError("SYSCALL", "cannot listen", { cause: nodeError("ENOSPC") }),
    ],
    [
      "a limit that was memory",
      new IlmError("LIMIT", "no memory", { cause: syscallError("x", ENOMEM).cause }),
    ],
  ])("%s", (_, error) => {
    expect(mayPass(error)).toBe(true);
  });
});

describe("does not pass", () => {
  test.each([
    ["a wrong configuration", configurationError([])],
    ["a call that is forbidden", syscallError("bpf", EPERM)],
    ["a limit of the kernel's", syscallError("bpf", ENOSPC)],
    ["a path that is not there", nodeError("ENOENT")],
    ["a bug", new TypeError("x is not a function")],
  ])("%s", (_, error) => {
    expect(mayPass(error)).toBe(false);
  });
});

test("pauses grow to a minute", () => {
  expect([1, 2, 3, 7, 100].map(pauseAfter)).toEqual([1_000, 2_000, 4_000, 60_000, 60_000]);
});

test("an attempt is made again, what was short is logged, and being called off ends the pause", async () => {
  const lines: string[] = [];
  const off = new AbortController();
  const log = {
    log: (_: string, message: string) => {
      lines.push(message);
      if (lines.length === 2) off.abort();
    },
  };
  let attempts = 0;
  const trying = untilItPasses(
    () => {
      attempts += 1;
      throw nodeError("EMFILE");
    },
    log,
    off.signal,
  );
  await expect(trying).rejects.toMatchObject({ name: "AbortError" });
  expect(attempts).toBe(2);
  expect(lines[0]).toMatch(
    /^open: this process has reached its limit of open files.*LimitNOFILE.* 1 s\.$/,
  );
});
