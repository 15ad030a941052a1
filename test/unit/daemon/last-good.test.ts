// Goal: what was right last is read back as it was, and anything else is nothing.
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepGood, readGood } from "../../../src/daemon/last-good.js";

let folder: string;

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "ilm-good-")), "state");
});

afterEach(() => {
  rmSync(join(folder, ".."), { recursive: true });
});

const files = [
  { name: "/etc/ilm/conf.d/a.yaml", bytes: Buffer.from("version: 1\n# \u00fc\n") },
  { name: "/etc/ilm/conf.d/b.json", bytes: Buffer.from("{}") },
];

test("all files of a source come back, the latest ones, in a folder that is root's alone", async () => {
  await keepGood(["/etc/ilm/conf.d"], [], folder);
  await keepGood(["/etc/ilm/conf.d"], files, folder);
  await keepGood(["/etc/other.yaml"], [], folder);
  const good = readGood(["/etc/ilm/conf.d"], folder);
  expect(good?.read).toEqual({
    files,
    names: files.map(({ name }) => name),
    problems: [],
    again: true,
  });
  expect(Date.parse(good?.keptAt ?? "")).not.toBeNaN();
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(readdirSync(folder)).toHaveLength(2);
});

test("several sources have a copy of their own, by their order", async () => {
  await keepGood(["/etc/a.yaml", "/etc/b.yaml"], files, folder);
  expect(readGood(["/etc/a.yaml", "/etc/b.yaml"], folder)?.read.files).toEqual(files);
  expect(readGood(["/etc/b.yaml", "/etc/a.yaml"], folder)).toBeNull();
  expect(readGood(["/etc/a.yaml"], folder)).toBeNull();
});

test("nothing was kept of another source, or where nothing can be", async () => {
  expect(readGood(["/etc/ilm/conf.d"], folder)).toBeNull();
  await keepGood(["/etc/ilm/conf.d"], files, folder);
  expect(readGood(["/etc/ilm/conf"], folder)).toBeNull();
});

test("a copy that was cut short, or has another form, is none", async () => {
  await keepGood(["/etc/ilm/conf.d"], files, folder);
  const [name = ""] = readdirSync(folder);
  const path = join(folder, name);
  truncateSync(path, 20);
  expect(readGood(["/etc/ilm/conf.d"], folder)).toBeNull();
  for (const other of ["null", "[]", '{"version":2,"source":"/etc/ilm/conf.d","files":[]}']) {
    writeFileSync(path, other);
    expect(readGood(["/etc/ilm/conf.d"], folder)).toBeNull();
  }
});

test("a folder that cannot be made is said", async () => {
  writeFileSync(join(folder, "..", "file"), "");
  await expect(keepGood(["/x"], files, join(folder, "..", "file", "x"))).rejects.toMatchObject({
    message: expect.stringMatching(
      /is a link or a file, not a folder|there is no folder/,
    ) as string,
  });
});

test("files that are too large are not kept", async () => {
  const large = { name: "/x", bytes: Buffer.alloc(16 * 1024 * 1024 + 1) };
  expect(await keepGood(["/x"], [large], folder)).toBe(false);
  expect(readGood(["/x"], folder)).toBeNull();
});
