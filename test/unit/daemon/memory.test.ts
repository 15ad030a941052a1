// Goal: what changes leave in memory is given back once it is worth it, and not after each.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { MemoryWatch } from "../../../src/daemon/memory.js";

const MB = 1024 * 1024;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function watch(first_mb: number, kept_mb: number) {
  const process = { resident_mb: first_mb, collections: 0, trims: 0 };
  const memory = new MemoryWatch({
    resident: () => process.resident_mb * MB,
    giveBack: () => {
      process.collections += 1;
      process.resident_mb = kept_mb;
    },
    trim: () => {
      process.trims += 1;
    },
  });
  const change = (resident_mb: number): void => {
    process.resident_mb = resident_mb;
    memory.worked();
    vi.advanceTimersByTime(2_000);
  };
  return { process, memory, change };
}

test("small growth is left alone, and adds up", () => {
  const { process, change } = watch(60, 60);
  for (const resident_mb of [65, 70, 75]) change(resident_mb);
  expect(process.collections).toBe(0);
  change(77);
  expect(process.collections).toBe(1);
});

test("what is in use is where the next growth begins", () => {
  const { process, change } = watch(60, 400);
  change(500);
  expect(process.collections).toBe(1);
  change(440);
  expect(process.collections).toBe(1);
  change(460);
  expect(process.collections).toBe(2);
});

test("changes that come one after the other are looked at once", () => {
  const { process, memory } = watch(60, 200);
  process.resident_mb = 200;
  for (let i = 0; i < 100; i++) memory.worked();
  vi.advanceTimersByTime(10_000);
  expect(process.collections).toBe(1);
});

test("rules that were let go are given back also when there is less than before", () => {
  const { process, memory } = watch(60, 60);
  memory.worked(true);
  vi.advanceTimersByTime(2_000);
  expect(process.collections).toBe(1);
  vi.advanceTimersByTime(10_000);
  expect(process.collections).toBe(1);
});

test("what is given back late counts as given back", () => {
  const { process, memory, change } = watch(60, 400);
  process.resident_mb = 500;
  memory.worked();
  vi.advanceTimersByTime(1_500);
  process.resident_mb = 100;
  vi.advanceTimersByTime(1_500);
  change(140);
  expect(process.collections).toBe(2);
});

test("what is free a moment after a collection is given back too, until no more comes", () => {
  const { process, memory, change } = watch(60, 60);
  memory.worked(true);
  vi.advanceTimersByTime(1_000);
  expect(process).toMatchObject({ collections: 1, trims: 0 });
  vi.advanceTimersByTime(10_000);
  expect(process).toMatchObject({ collections: 1, trims: 1 });
  change(61);
  expect(process.trims).toBe(1);

  process.resident_mb = 200;
  memory.worked(true);
  vi.advanceTimersByTime(1_000);
  expect(process.collections).toBe(2);
  process.resident_mb = 30;
  vi.advanceTimersByTime(10_000);
  expect(process).toMatchObject({ collections: 2, trims: 3 });
});
