// Goal: two builds of a commit give the same bytes, also in different folders.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const built = "dist/bpf";

test("no object for the kernel names the folder that it was compiled in", () => {
  const objects = readdirSync(built).filter((name) => name.endsWith(".bpf.o"));
  expect(objects).not.toEqual([]);
  const here = Buffer.from(process.cwd());
  expect(objects.filter((name) => readFileSync(join(built, name)).includes(here))).toEqual([]);
});

test("an object that is compiled in another folder has the same bytes", () => {
  const folder = mkdtempSync(join(tmpdir(), "ilm-objects-"));
  try {
    for (const name of ["bpf", "kmod", "Makefile"]) {
      cpSync(name, join(folder, name), { recursive: true });
    }
    mkdirSync(join(folder, built), { recursive: true });
    const object = join(built, "listing.bpf.o");
    execFileSync("make", [object], { cwd: folder, stdio: "ignore" });
    expect(readFileSync(join(folder, object)).equals(readFileSync(object))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
