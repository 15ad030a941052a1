// Goal: text is known again only when everything that its meaning depends on is the same.
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { digestOfBytes } from "../../../src/config/input.js";
import {
  digestOfText,
  formatKnownText,
  warningsOfKnown,
  type DigestedFile,
  type Surroundings,
} from "../../../src/daemon/known-text.js";
import type { Problem } from "../../../src/errors.js";
import { address } from "./fixtures.js";

const ephemeral = { range: { first: 32_768, last: 60_999 }, reserved: [] };

function files(...all: readonly (readonly [name: string, text: string])[]): DigestedFile[] {
  return all.map(([name, text]) => ({ name, ...digestOfBytes(Buffer.from(text)) }));
}

interface Text extends Surroundings {
  readonly source: string | null;
  readonly files: readonly DigestedFile[];
}

const usual: Text = {
  source: "/etc/ilm/a.yaml",
  files: files(["/etc/ilm/a.yaml", "version: 1"]),
  given: ["tcp:80=web"],
  build: "b".repeat(64),
  ephemeral,
};

const digestOf = ({ source, files: read, ...surroundings }: Text): string =>
  digestOfText(surroundings, source, read);

const problem: Problem = {
  severity: "warning",
  file: "a.yaml",
  line: 1,
  column: 1,
  path: "",
  message: "is doubtful",
  hint: "mend it",
};

describe("the digest", () => {
  const different: Record<string, Partial<Text>> = {
    "one byte": { files: files(["/etc/ilm/a.yaml", "version: 2"]) },
    "the name of the file": { files: files(["/etc/ilm/b.yaml", "version: 1"]) },
    "another file": { files: files(["/etc/ilm/a.yaml", "version: 1"], ["/etc/ilm/b.yaml", ""]) },
    "the border between two files": {
      files: files(["/etc/ilm/a.yaml", "version: "], ["/etc/ilm/b.yaml", "1"]),
    },
    "the path that is followed": { source: null },
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
  const here = { warnings: [problem], destinations: [address("127.0.0.1")], absent: [] };

  test("has the warnings that it had", async () => {
    const text = formatKnownText("d", ["a.yaml"], here);
    expect(await warningsOfKnown(text, "d", ["a.yaml"])).toEqual([problem]);
  });

  test("with another digest is not known", async () => {
    expect(
      await warningsOfKnown(formatKnownText("d", ["a.yaml"], here), "e", ["a.yaml"]),
    ).toBeNull();
  });

  test("with files that are named otherwise is known unless warnings name them", async () => {
    const silent = formatKnownText("d", ["a.yaml"], { ...here, warnings: [] });
    expect(await warningsOfKnown(silent, "d", ["./a.yaml"])).toEqual([]);
    const doubtful = formatKnownText("d", ["a.yaml"], here);
    expect(await warningsOfKnown(doubtful, "d", ["./a.yaml"])).toBeNull();
  });

  test("is read anew when a destination came to the host, or left it", async () => {
    const absent = [address("203.0.113.77")];
    const left = formatKnownText("d", [], { warnings: [], destinations: absent, absent: [] });
    expect(await warningsOfKnown(left, "d", [])).toBeNull();
    const came = formatKnownText("d", [], {
      warnings: [problem],
      destinations: [address("127.0.0.1")],
      absent: [address("127.0.0.1")],
    });
    expect(await warningsOfKnown(came, "d", [])).toBeNull();
    const still = formatKnownText("d", [], { warnings: [problem], destinations: absent, absent });
    expect(await warningsOfKnown(still, "d", [])).toEqual([problem]);
  });
});
