// Goal: an error is told once, with every problem and its remedy, in the form that was asked for.
import { describe, expect, test } from "vitest";
import { reportError } from "../../../../src/cli/render/error.js";
import { configurationError, IlmError } from "../../../../src/errors.js";
import { contextFor } from "../fixtures.js";

function report(error: unknown, json: boolean) {
  const { context, said } = contextFor(json);
  return { status: reportError(context, error), ...said };
}

const locked = new IlmError("LOCKED", "another writer is running", { remedy: "Wait for it" });
const bad = configurationError([
  {
    severity: "error",
    file: "a.yaml",
    line: 1,
    column: 2,
    path: "mappings[0]",
    message: "is wrong",
    hint: "be right",
  },
  {
    severity: "warning",
    file: "a.yaml",
    line: 0,
    column: 0,
    path: "",
    message: "is doubtful",
    hint: "",
  },
]);

describe("for people", () => {
  test("message and remedy go to standard error, and the status is the code's", () => {
    expect(report(locked, false)).toEqual({
      out: "",
      err: "ilm: another writer is running\n  Wait for it\n",
      status: 4,
    });
  });

  test("every problem has a line", () => {
    const { err, status } = report(bad, false);
    expect(err).toContain("  a.yaml:1:2: mappings[0]: is wrong; be right\n");
    expect(err).toContain("  a.yaml: warning: is doubtful\n");
    expect(status).toBe(3);
  });

  test("a bug shows where it was", () => {
    const { err, status } = report(new TypeError("x is not a function"), false);
    expect(err).toContain("This is a bug in ilm");
    expect(err).toContain("error.test.ts");
    expect(status).toBe(1);
  });
});

describe("for scripts", () => {
  test("it is one JSON object on standard output, and standard error is quiet", () => {
    const { out, err, status } = report(locked, true);
    expect(JSON.parse(out)).toEqual({
      error: {
        code: "LOCKED",
        message: "another writer is running",
        remedy: "Wait for it",
        problems: [],
      },
    });
    expect(err).toBe("");
    expect(status).toBe(4);
  });

  test("it has every problem", () => {
    expect(JSON.parse(report(bad, true).out)).toMatchObject({
      error: { code: "CONFIGURATION", problems: bad.problems },
    });
  });
});
