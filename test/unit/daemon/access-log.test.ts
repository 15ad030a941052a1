// Goal: each refusal is a line of the log, and whoever is refused again and again fills no log.
import { expect, test } from "vitest";
import { AccessLog } from "../../../src/daemon/access-log.js";
import { IlmError } from "../../../src/errors.js";

test("logs the first ten in ten seconds, and says later how many there were", () => {
  const lines: string[] = [];
  let now = 0;
  const log = new AccessLog({ log: (_, message) => void lines.push(message) }, () => now);
  const refusal = new IlmError("NOT_PERMITTED", "user 1000 may not");
  for (let i = 0; i < 500; i += 1) log.note("POST /v1/unload", refusal);
  expect(lines).toEqual(
    Array.from({ length: 10 }, () => "refused POST /v1/unload: user 1000 may not"),
  );
  now = 10_000;
  log.note("GET /metrics", refusal);
  log.note("GET /metrics", refusal);
  expect(lines.slice(10)).toEqual([
    "refused GET /metrics: user 1000 may not (and 490 more that were not logged)",
    "refused GET /metrics: user 1000 may not",
  ]);
});
