// Goal: whatever way a file changes, it is noticed once it rests; what leaves it as it was is not.
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { followFile, type FileFollower } from "../../../src/daemon/follow-file.js";

let folder: string;
let file: string;
let changes: { readonly times: number[] };
let follower: FileFollower;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-follow-"));
  file = join(folder, "rules.yaml");
  changes = { times: [] };
});

afterEach(() => {
  follower.close();
  rmSync(folder, { recursive: true, force: true });
});

async function follow(path = file): Promise<void> {
  follower = followFile(path, () => {
    changes.times.push(Date.now());
  });
  await follower.ready;
}

async function noticed(count: number): Promise<void> {
  await vi.waitFor(
    () => {
      expect(changes.times).toHaveLength(count);
    },
    { timeout: 5_000, interval: 10 },
  );
}

/** Long enough for an event and the debounce. */
async function rest(): Promise<void> {
  await sleep(250);
}

describe("a file", () => {
  beforeEach(async () => {
    writeFileSync(file, "one");
    await follow();
  });

  test("rewritten is noticed", async () => {
    writeFileSync(file, "two");
    await noticed(1);
  });

  test("renamed over is noticed, also the second time", async () => {
    for (const time of [1, 2]) {
      writeFileSync(`${file}.new`, `version ${time}`);
      renameSync(`${file}.new`, file);
      await noticed(time);
    }
  });

  test("removed is noticed, and its return too", async () => {
    unlinkSync(file);
    await noticed(1);
    writeFileSync(file, "back");
    await noticed(2);
  });

  test("written in many small steps is noticed once", async () => {
    for (let step = 0; step < 20; step++) appendFileSync(file, "x");
    await noticed(1);
    await rest();
    expect(changes.times).toHaveLength(1);
  });

  test("is not mixed up with its neighbours", async () => {
    writeFileSync(join(folder, "other.yaml"), "two");
    await rest();
    expect(changes.times).toEqual([]);
  });

  test("changed in a folder that never rests is noticed all the same", async () => {
    writeFileSync(file, "two");
    const noise = setInterval(() => {
      writeFileSync(join(folder, "noise"), String(Date.now()));
    }, 10);
    try {
      await noticed(1);
    } finally {
      clearInterval(noise);
    }
  });

  test("is not followed after close", async () => {
    follower.close();
    writeFileSync(file, "two");
    await rest();
    expect(changes.times).toEqual([]);
  });

  test("in a folder that was replaced is found by the next check, and followed there", async () => {
    renameSync(folder, `${folder}.old`);
    mkdirSync(folder);
    writeFileSync(file, "elsewhere");
    follower.check();
    await noticed(1);
    writeFileSync(file, "and on");
    await noticed(2);
    rmSync(`${folder}.old`, { recursive: true });
  });
});

test("a file that a link leads to is noticed when it changes there, and when the link leads elsewhere", async () => {
  const real = join(folder, "real");
  mkdirSync(real);
  writeFileSync(join(real, "a.yaml"), "a");
  writeFileSync(join(real, "b.yaml"), "b");
  symlinkSync(join(real, "a.yaml"), file);
  await follow();
  writeFileSync(join(real, "a.yaml"), "a changed");
  await noticed(1);
  symlinkSync(join(real, "b.yaml"), `${file}.new`);
  renameSync(`${file}.new`, file);
  await noticed(2);
});

test("a file that is not there yet is noticed when it comes", async () => {
  await follow();
  writeFileSync(file, "one");
  await noticed(1);
});

describe("a folder", () => {
  test("is followed with every file in it, new, changed and gone", async () => {
    const parts = join(folder, "conf.d");
    mkdirSync(parts);
    await follow(parts);
    writeFileSync(join(parts, "10-a.yaml"), "a");
    await noticed(1);
    writeFileSync(join(parts, "10-a.yaml"), "a changed");
    await noticed(2);
    unlinkSync(join(parts, "10-a.yaml"));
    await noticed(3);
  });

  test("is not another one by files that are not read", async () => {
    const parts = join(folder, "conf.d");
    mkdirSync(parts);
    await follow(parts);
    for (const name of ["trace.log", ".10-a.yaml.swp", "10-a.yaml~"]) {
      writeFileSync(join(parts, name), "x");
    }
    await rest();
    expect(changes.times).toEqual([]);
    writeFileSync(join(parts, "10-a.yaml"), "a");
    await noticed(1);
  });
});
