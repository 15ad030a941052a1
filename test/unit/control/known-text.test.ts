// Goal: text is known again only when everything that its meaning depends on is the same.
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { digestOfBytes } from "../../../src/config/input.js";
import {
  digestOfSurroundings,
  digestOfText,
  formatKnownText,
  packBlocks,
  readKnownText,
  unpackBlocks,
  warningsOfKnown,
  type DigestedFile,
  type KnownText,
  type Surroundings,
} from "../../../src/control/known-text.js";
import type { Problem } from "../../../src/errors.js";
import { address } from "../daemon/fixtures.js";

const ephemeral = { range: { first: 32_768, last: 60_999 }, reserved: [] };

function files(...all: readonly (readonly [name: string, text: string])[]): DigestedFile[] {
  return all.map(([name, text]) => ({ name, ...digestOfBytes(name, Buffer.from(text)) }));
}

interface Text extends Surroundings {
  readonly sources: readonly string[];
  readonly files: readonly DigestedFile[];
}

const usual: Text = {
  sources: ["/etc/ilm/a.yaml"],
  files: files(["/etc/ilm/a.yaml", "version: 1"]),
  given: ["tcp:80=web"],
  build: "b".repeat(64),
  ephemeral,
  ipv6: true,
};

function digestOf({ sources, files: read, ...surroundings }: Text): string {
  return digestOfText(digestOfSurroundings(surroundings), sources, read);
}

const problem: Problem = {
  severity: "warning",
  file: "a.yaml",
  line: 1,
  column: 1,
  path: "",
  message: "is doubtful",
  hint: "fix it",
};

describe("the digest", () => {
  const different: Record<string, Partial<Text>> = {
    "lo without IPv6": { ipv6: false },
    "one byte": { files: files(["/etc/ilm/a.yaml", "version: 2"]) },
    "the name of the file": { files: files(["/etc/ilm/b.yaml", "version: 1"]) },
    "another file": { files: files(["/etc/ilm/a.yaml", "version: 1"], ["/etc/ilm/b.yaml", ""]) },
    "the border between two files": {
      files: files(["/etc/ilm/a.yaml", "version: "], ["/etc/ilm/b.yaml", "1"]),
    },
    "the paths that are followed": { sources: [] },
    "the arguments": { given: ["tcp:80=web", "tcp:81=web"] },
    "the build of ilm": { build: "c".repeat(64) },
    "the ports of clients": { ephemeral: { ...ephemeral, range: { first: 1024, last: 60_999 } } },
    "ports kept from clients": { ephemeral: { ...ephemeral, reserved: [{ first: 1, last: 2 }] } },
  };

  for (const [what, change] of Object.entries(different)) {
    test(`depends on ${what}`, () => {
      expect(digestOf({ ...usual, ...change })).not.toBe(digestOf(usual));
    });
  }

  test("does not depend on how the path is written", () => {
    const relative = { ...usual, files: files(["a.yaml", "version: 1"]) };
    const absolute = { ...usual, files: files([resolve("a.yaml"), "version: 1"]) };
    expect(digestOf(relative)).toBe(digestOf(absolute));
  });
});

describe("known text", () => {
  const silent: KnownText = {
    digest: "d",
    surroundings: "s",
    names: ["a.yaml"],
    warnings: [],
    destinations: [address("127.0.0.1")],
    absent: [],
    blocks: null,
  };
  const doubtful = { ...silent, warnings: [problem] };

  test("is read as it was written, by who has the same surroundings", () => {
    expect(readKnownText(formatKnownText(doubtful), "s")).toEqual(doubtful);
    expect(readKnownText(formatKnownText(doubtful), "t")).toBeNull();
  });

  test("has the warnings that it had", async () => {
    expect(await warningsOfKnown(doubtful, ["a.yaml"])).toEqual([problem]);
  });

  test("with files that are named otherwise is known unless warnings name them", async () => {
    expect(await warningsOfKnown(silent, ["./a.yaml"])).toEqual([]);
    expect(await warningsOfKnown(doubtful, ["./a.yaml"])).toBeNull();
  });

  test("is read again when a destination came to the host, or left it", async () => {
    const destinations = [address("203.0.113.77")];
    expect(await warningsOfKnown({ ...silent, destinations }, ["a.yaml"])).toBeNull();
    const came = { ...doubtful, absent: [address("127.0.0.1")] };
    expect(await warningsOfKnown(came, ["a.yaml"])).toBeNull();
    const still = { ...doubtful, destinations, absent: destinations };
    expect(await warningsOfKnown(still, ["a.yaml"])).toEqual([problem]);
  });
});

describe("blocks", () => {
  test("are unpacked as they were packed", () => {
    const blocks = [
      { digest: "0123456789abcdef".repeat(2), lines: 0 },
      { digest: "f".repeat(32), lines: 4_000_000_000 },
    ];
    expect(unpackBlocks(packBlocks(blocks))).toEqual(blocks);
    expect(unpackBlocks(packBlocks([]))).toEqual([]);
  });
});
