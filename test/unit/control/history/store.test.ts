/** The files of the history: bounded, shared, and never half of something. */
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Entry } from "../../../../src/control/history/entry.js";
import { HistoryStore } from "../../../../src/control/history/store.js";
import { Folder } from "../../../../src/kernel/folder.js";

let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "ilm-history-"));
});

afterEach(() => {
  rmSync(path, { recursive: true });
});

function open({ entries = 100, bytes = 1_000_000 } = {}): HistoryStore {
  const folder = Folder.open(path);
  if (folder === undefined) throw new Error("the folder is gone");
  return HistoryStore.in(folder, { entries, bytes });
}

function fields(file: string | null): Omit<Entry, "version" | "number"> {
  const fileDigest = file === null ? "" : file.padStart(64, "0").split("").toReversed().join("");
  const head = { services: [] };
  return {
    time: "2026-01-02T03:04:05.000Z",
    cause: "apply",
    author: { pid: 1, uid: 0, user: "root", login: null, unit: null, command: "ilm apply" },
    netns: "1",
    generation: 1,
    appliedAt: "2026-01-02T03:04:05.000Z",
    format: 13,
    before: null,
    to: null,
    difference: null,
    mappings: 1,
    off: false,
    digest: fileDigest,
    rules: file === null ? null : { sources: [], head, runtime: [], count: 1, fileDigest },
    held: [],
  };
}

function add(store: HistoryStore, file: string | null, bytes = 10): number {
  return store.add(fields(file), () => Buffer.alloc(bytes)).number;
}

const numbersOf = (store: HistoryStore): number[] =>
  [...store.entries()].map(({ number }) => number);

test("entries have numbers that grow, and those with the same mappings share them", () => {
  const store = open();
  expect([add(store, "a"), add(store, "a"), add(store, "b"), add(store, null)]).toEqual([
    1, 2, 3, 4,
  ]);
  store.close();
  expect(numbersOf(open())).toEqual([4, 3, 2, 1]);
  const names = readdirSync(path);
  expect(names.filter((name) => name.startsWith("mappings-"))).toHaveLength(2);
  expect(names).toHaveLength(6);
  for (const name of names) expect(statSync(join(path, name)).mode & 0o777).toBe(0o600);
});

test("what a change that waits goes back to is kept beside it, however large both are", () => {
  const store = open({ bytes: 5_000 });
  add(store, "a", 2_000);
  add(store, "b", 10);
  const wait = { until: "2026-01-02T03:05:05.000Z", to: 1, change: null, held: [] };
  store.add({ ...fields("c"), wait }, () => Buffer.alloc(2_000));
  const isKept = (file: string): boolean => store.has(fields(file).rules?.fileDigest ?? "");
  expect([isKept("a"), isKept("b"), isKept("c")]).toEqual([true, false, true]);
  expect(numbersOf(store)).toEqual([3, 1]);
  add(store, "d");
  expect([isKept("a"), isKept("d")]).toEqual([false, true]);
});

test("beyond the limit the oldest go, with mappings that no other entry needs", () => {
  const store = open({ entries: 3 });
  for (const file of ["a", "b", "a", "c"]) add(store, file);
  expect(numbersOf(store)).toEqual([4, 3, 2]);
  add(store, "d");
  const digest = (file: string): string => fields(file).rules?.fileDigest ?? "";
  expect(["a", "b", "c", "d"].map((file) => store.has(digest(file)))).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect(add(store, "d")).toBe(6);
  expect(store.has(digest("a"))).toBe(false);
});

test("beyond the size the oldest mappings go first, and the latest stay, however large", () => {
  const store = open({ bytes: 10_000 });
  const digest = (file: string): string => fields(file).rules?.fileDigest ?? "";
  for (const file of ["a", "b", "c"]) add(store, file, 4_000);
  expect(["a", "b", "c"].map((file) => store.has(digest(file)))).toEqual([false, true, true]);
  expect(numbersOf(store)).toEqual([3, 2, 1]);
  add(store, "d", 20_000);
  expect(["b", "c", "d"].map((file) => store.has(digest(file)))).toEqual([false, false, true]);
  expect(numbersOf(store)).toEqual([4]);
});

test("an entry that was cut short, or has another form, is none, and its number is not given again", () => {
  const store = open();
  for (const file of ["a", "b", "c"]) add(store, file);
  const nameOf = (number: number): string =>
    join(path, readdirSync(path).find((name) => name.startsWith(`change-${number}-`)) ?? "");
  truncateSync(nameOf(3), 20);
  writeFileSync(nameOf(2), JSON.stringify({ ...fields("b"), version: 2, number: 2 }));
  const again = open();
  expect(numbersOf(again)).toEqual([1]);
  expect([1, 2, 3, 4].map((number) => again.entry(number)?.number)).toEqual([
    1,
    undefined,
    undefined,
    undefined,
  ]);
  expect(add(again, null)).toBe(4);
});
