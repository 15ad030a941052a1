// Goal: whoever waits for a call that does not return is let go, and such calls do not use up
// node's threads.
import { afterEach, expect, test } from "vitest";
import { hasPendingCalls, withPatience } from "../../src/patience.js";

const late = (): Error => new Error("too late");
const HOUR_MS = 3_600_000;
let release: (() => void)[] = [];

/** A call that returns when the test is over. */
function hang(): Promise<string> {
  return new Promise((resolve) => {
    release.push(() => {
      resolve("returned");
    });
  });
}

async function releaseAll(): Promise<void> {
  for (const one of release) one();
  release = [];
  await new Promise(setImmediate);
}

afterEach(releaseAll);

test("what returns in time is the result, or the error", async () => {
  await expect(withPatience(HOUR_MS, () => Promise.resolve(1), late)).resolves.toBe(1);
  const failing = withPatience(HOUR_MS, () => Promise.reject(new Error("EIO")), late);
  await expect(failing).rejects.toThrow("EIO");
  expect(hasPendingCalls()).toBe(false);
});

test("a call that hangs is given up, and known to be under way", async () => {
  await expect(withPatience(1, hang, late)).rejects.toThrow("too late");
  expect(hasPendingCalls()).toBe(true);
  await releaseAll();
  expect(hasPendingCalls()).toBe(false);
});

test("waiting ends with the reason for which it is called off", async () => {
  const off = new AbortController();
  const waiting = withPatience(HOUR_MS, hang, late, off.signal);
  off.abort(new Error("the daemon ends"));
  await expect(waiting).rejects.toThrow("the daemon ends");
  await expect(withPatience(HOUR_MS, hang, late, off.signal)).rejects.toThrow("the daemon ends");
});

test("while two calls hang no third is begun, and when they return one is", async () => {
  for (const _ of [1, 2]) await expect(withPatience(1, hang, late)).rejects.toThrow("too late");
  let begun = 0;
  const count = (): Promise<number> => Promise.resolve((begun += 1));
  await expect(withPatience(HOUR_MS, count, late)).rejects.toThrow("too late");
  expect(begun).toBe(0);
  await releaseAll();
  await expect(withPatience(HOUR_MS, count, late)).resolves.toBe(1);
});
