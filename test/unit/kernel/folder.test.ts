// Goal: a folder is what was opened and judged, whatever its path leads to by now; and nothing
// outside of it is touched.
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Folder } from "../../../src/kernel/folder.js";

let root: string;
let folder: Folder;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ilm-folder-"));
  const opened = Folder.open(root);
  if (opened === undefined) throw new Error(`${root} is not there`);
  folder = opened;
});

afterEach(() => {
  folder.close();
  rmSync(root, { recursive: true });
});

const unsafe = expect.objectContaining({ code: "UNSAFE_PATH" }) as unknown;

describe("opening", () => {
  test("what is not there is undefined", () => {
    expect(Folder.open(join(root, "a/b"))).toBeUndefined();
    expect(Folder.openPrivate(join(root, "a"))).toBeUndefined();
    expect(folder.folder("a")).toBeUndefined();
    expect(folder.openFile("a")).toBeUndefined();
    expect(folder.has("a")).toBe(false);
  });

  test("a link is refused, as the folder and on the way to it", () => {
    mkdirSync(join(root, "real/inside"), { recursive: true });
    symlinkSync(join(root, "real"), join(root, "link"));
    expect(() => folder.folder("link")).toThrow(unsafe);
    expect(() => Folder.open(join(root, "link"))).toThrow(unsafe);
    expect(() => Folder.open(join(root, "link/inside"))).toThrow(unsafe);
    expect(() => folder.makeFolder("link")).toThrow(unsafe);
  });

  test("a file in the place of a folder is refused, and a folder or a link in the place of a file", () => {
    writeFileSync(join(root, "file"), "");
    mkdirSync(join(root, "real"));
    symlinkSync(join(root, "file"), join(root, "link"));
    expect(() => folder.folder("file")).toThrow(unsafe);
    expect(() => folder.openFile("real")).toThrow(unsafe);
    expect(() => folder.openFile("link")).toThrow(unsafe);
  });

  test("what others can write to is refused, but on the way a sticky folder is good enough", () => {
    for (const [mode, asPrivate, onTheWay] of [
      [0o700, true, true],
      [0o755, true, true],
      [0o770, false, false],
      [0o777, false, false],
      [0o1777, false, true],
    ] as const) {
      const path = join(root, mode.toString(8));
      mkdirSync(join(path, "inside"), { recursive: true });
      chmodSync(path, mode);
      const attempts: readonly [() => Folder | undefined, boolean][] = [
        [() => Folder.openPrivate(path), asPrivate],
        [() => folder.folder(mode.toString(8)), asPrivate],
        [() => Folder.open(join(path, "inside")), onTheWay],
      ];
      for (const [open, accepted] of attempts) {
        if (accepted) open()?.close();
        else expect(open, path).toThrow(unsafe);
      }
    }
  });

  test("the error names the path, what is wrong, and what to do", () => {
    mkdirSync(join(root, "open"));
    chmodSync(join(root, "open"), 0o777);
    expect(() => folder.folder("open")).toThrow(
      expect.objectContaining({
        message: `${root}/open can be written to by others (mode 777); nothing was read from it, or changed`,
        remedy: expect.stringContaining(`ls -ld ${root}/open`) as string,
      }),
    );
  });

  test("a folder is made once, for its owner alone", () => {
    folder.makeFolder("made").close();
    folder.makeFolder("made").close();
    expect(statSync(join(root, "made")).mode & 0o777).toBe(0o700);
  });
});

test("a folder that was renamed is used where it is, and not what has its name now", () => {
  const inside = folder.makeFolder("inside");
  renameSync(join(root, "inside"), join(root, "away"));
  mkdirSync(join(root, "inside"));
  inside.makeFolder("made").close();
  inside.close();
  expect(existsSync(join(root, "away/made"))).toBe(true);
  expect(readdirSync(join(root, "inside"))).toEqual([]);
});

describe("removal", () => {
  beforeEach(() => {
    mkdirSync(join(root, "precious/deep"), { recursive: true });
    writeFileSync(join(root, "precious/deep/file"), "");
  });

  test("takes files, folders with what is in them, and links without what they lead to", () => {
    mkdirSync(join(root, "gone/deep/deeper"), { recursive: true });
    writeFileSync(join(root, "gone/deep/file"), "");
    symlinkSync(join(root, "precious"), join(root, "gone/deep/link"));
    symlinkSync(join(root, "nowhere"), join(root, "gone/dangling"));
    symlinkSync(join(root, "precious"), join(root, "link"));
    expect(folder.remove("gone")).toBe(true);
    expect(folder.remove("link")).toBe(true);
    expect(folder.remove("link")).toBe(false);
    expect(readdirSync(root)).toEqual(["precious"]);
    expect(readdirSync(join(root, "precious/deep"))).toEqual(["file"]);
  });

  test("of a folder only if it is empty", () => {
    expect(folder.removeIfEmpty("precious")).toBe(false);
    expect(folder.removeIfEmpty("nothing")).toBe(false);
    mkdirSync(join(root, "empty"));
    expect(folder.removeIfEmpty("empty")).toBe(true);
    expect(readdirSync(root)).toEqual(["precious"]);
  });
});

test("names that would lead out of the folder are refused", () => {
  for (const name of ["", ".", "..", "a/b", "../a", "/a"]) {
    expect(() => folder.at(name), name).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  }
});

test("a closed folder is not used", () => {
  const inside = folder.makeFolder("inside");
  inside.close();
  inside.close();
  expect(() => inside.names()).toThrow(expect.objectContaining({ code: "INTERNAL" }));
});

test("a file is made for its owner alone", () => {
  const fd = folder.openFile("lock", 0o102);
  closeSync(fd ?? -1);
  expect(statSync(join(root, "lock")).mode & 0o777).toBe(0o600);
});
