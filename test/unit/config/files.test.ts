/** Reading files, folders and what is neither: each failure has its own words. */
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  ftruncateSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { loadConfiguration } from "../../../src/config/load.js";
import { refusal } from "./support.js";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-config-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function put(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const services = "version: 1\nservices: { web: { address: 127.0.1.10 } }\n";
const toWeb = (port: number): string => `version: 1\nmappings: [{ port: ${port}, to: web }]\n`;

describe("a folder", () => {
  test("is all its .yaml, .yml and .json files in the order of their names", () => {
    put("30.json", '{"version": 1, "mappings": [{"port": 3, "to": "web"}]}');
    put("20.yml", toWeb(2));
    put("10.yaml", toWeb(1));
    put("services.yaml", services);
    put(".hidden.yaml", "not: read");
    put("notes.txt", "not read");
    put("40.yaml~", "not: read");
    mkdirSync(join(folder, "old"));
    const { mappings } = loadConfiguration(folder).ruleSet;
    expect(mappings.map(({ name, origin }) => [name, origin.file])).toEqual([
      ["tcp:1", join(folder, "10.yaml")],
      ["tcp:2", join(folder, "20.yml")],
      ["tcp:3", join(folder, "30.json")],
    ]);
  });

  test("without such files is refused", () => {
    put("notes.txt", services);
    expect(refusal(() => loadConfiguration(folder))).toEqual([
      `${folder}: the folder holds no configuration; put files named *.yaml, *.yml, *.json or *.ndjson into it`,
    ]);
  });

  test("in which one cannot be read still tells the problems of the others", () => {
    put("a.yaml", toWeb(1));
    put("b.yaml", toWeb(0));
    symlinkSync("/nonexistent", join(folder, "services.yaml"));
    mkdirSync(join(folder, "z.json"));
    expect(refusal(() => loadConfiguration(folder))).toEqual([
      `${folder}/b.yaml:2:20: mappings[0].port: the port 0 does not exist; a port is 1 to 65535`,
      `${folder}/services.yaml: there is no such file; check the path`,
      `${folder}/z.json: this is a folder, not a file; move its files up, or give its own path`,
    ]);
  });

  test("with an empty file is refused", () => {
    put("a.yaml", services);
    put("b.yaml", "");
    expect(refusal(() => loadConfiguration(folder))).toEqual([
      `${folder}/b.yaml: the file is empty; write "version: 1" and "mappings: []" to say nothing`,
    ]);
  });
});

describe("what cannot be read", () => {
  test("is not there", () => {
    const path = join(folder, "none.yaml");
    expect(refusal(() => loadConfiguration(path))).toEqual([
      `${path}: there is no such file; check the path`,
    ]);
  });

  test("is below a file", () => {
    const path = join(put("file", services), "below.yaml");
    expect(refusal(() => loadConfiguration(path))).toEqual([
      `${path}: a part of the path is not a folder; check the path`,
    ]);
  });

  test("is a loop of links", () => {
    const path = join(folder, "loop.yaml");
    symlinkSync(path, path);
    expect(refusal(() => loadConfiguration(path))).toEqual([
      `${path}: the path is a loop of symbolic links; mend the links`,
    ]);
  });

  test("has too long a path", () => {
    const path = "a".repeat(5000);
    expect(refusal(() => loadConfiguration(path))).toEqual([
      `${path}: the path is too long; check the path`,
    ]);
  });

  test("is an empty path", () => {
    expect(refusal(() => loadConfiguration(""))).toEqual([
      '"": there is no such file; check the path',
    ]);
  });

  test("is forbidden to this user", () => {
    const path = put("secret.yaml", services);
    chmodSync(path, 0o000);
    const load = (): string[] => {
      // Root reads everything, so become nobody where this test runs as root.
      if (process.geteuid?.() !== 0) return refusal(() => loadConfiguration(path));
      chmodSync(folder, 0o755);
      process.seteuid?.(65534);
      try {
        return refusal(() => loadConfiguration(path));
      } finally {
        process.seteuid?.(0);
      }
    };
    expect(load()).toEqual([
      `${path}: this user may not read it; change its mode or owner, or run as a user who may`,
    ]);
  });

  test("is larger than 256 MiB", () => {
    const path = put("huge.json", "");
    const descriptor = openSync(path, "r+");
    ftruncateSync(descriptor, 256 * 1024 * 1024 + 1);
    closeSync(descriptor);
    expect(refusal(() => loadConfiguration(path))).toEqual([
      `${path}: the file is larger than 256 MiB; split it into several files in a folder`,
    ]);
  });

  test("never ends", () => {
    expect(refusal(() => loadConfiguration("/dev/zero"))).toEqual([
      "/dev/zero: the file is larger than 256 MiB; split it into several files in a folder",
    ]);
  });
});

describe("what is not text", () => {
  const latin1 = Buffer.from("version: 1\nmappings: [] # caf\xe9\n", "latin1");
  test.each([
    [
      "an ELF file",
      Buffer.from("\x7fELF\x02\x01\x01\x00\xff", "latin1"),
      ":1:8: the file is not text: it has a NUL byte; give a YAML or JSON file",
    ],
    [
      "Latin-1",
      latin1,
      ":2:19: the file is not UTF-8; save it as UTF-8, without characters of other encodings",
    ],
    [
      "UTF-8 cut off inside a character",
      Buffer.from([...Buffer.from("# é\n# "), 0xc3]),
      ":2:3: the file is not UTF-8; save it as UTF-8, without characters of other encodings",
    ],
    [
      "UTF-16",
      Buffer.from(`\uFEFF${services}`, "utf16le"),
      ": the file is UTF-16; save it as UTF-8",
    ],
  ])("is refused: %s", (_what, content, message) => {
    const path = put("rules.yaml", content);
    expect(refusal(() => loadConfiguration(path))).toEqual([`${path}${message}`]);
  });
});

test("a byte order mark is tolerated, and CR LF", () => {
  const path = put("rules.yaml", `\uFEFF${services.replaceAll("\n", "\r\n")}`);
  expect(loadConfiguration(path).ruleSet.services[0]?.origin).toEqual({
    file: path,
    line: 2,
    column: 13,
  });
});

test("a pipe is read to its end", () => {
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const script = `(printf 'version: 1\\n'; sleep 0.1; printf 'mappings: []\\n') > '${path}'`;
  const writer = spawn("sh", ["-c", script], { stdio: "ignore" });
  onTestFinished(() => {
    writer.kill();
  });
  expect(loadConfiguration(path).ruleSet.mappings).toEqual([]);
});
