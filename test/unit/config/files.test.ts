/** Reading files, folders and what is neither: each failure has its own words. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
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
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { loadConfiguration } from "../../../src/config/load.js";
import { refusalOf } from "./support.js";

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
  test("is all its .yaml, .yml and .json files in the order of their names", async () => {
    put("30.json", '{"version": 1, "mappings": [{"port": 3, "to": "web"}]}');
    put("20.yml", toWeb(2));
    put("10.yaml", toWeb(1));
    put("services.yaml", services);
    put(".hidden.yaml", "not: read");
    put("notes.txt", "not read");
    put("40.yaml~", "not: read");
    mkdirSync(join(folder, "old"));
    const { mappings } = (await loadConfiguration(folder)).ruleSet;
    expect(mappings.map(({ name, origin }) => [name, origin.file])).toEqual([
      ["tcp:1", join(folder, "10.yaml")],
      ["tcp:2", join(folder, "20.yml")],
      ["tcp:3", join(folder, "30.json")],
    ]);
  });

  test("without such files is refused", async () => {
    put("notes.txt", services);
    expect(await refusalOf(loadConfiguration(folder))).toEqual([
      `${folder}: the folder holds no configuration; put files named *.yaml, *.yml, *.json or *.ndjson into it`,
    ]);
  });

  test("in which one cannot be read still tells the problems of the others", async () => {
    put("a.yaml", toWeb(1));
    put("b.yaml", toWeb(0));
    symlinkSync("/nonexistent", join(folder, "services.yaml"));
    mkdirSync(join(folder, "z.json"));
    expect(await refusalOf(loadConfiguration(folder))).toEqual([
      `${folder}/b.yaml:2:20: mappings[0].port: the port 0 does not exist; a port is 1 to 65535`,
      `${folder}/services.yaml: there is no such file; check the path`,
      `${folder}/z.json: this is a folder, not a file; move its files up, or give its own path`,
    ]);
  });

  test("with an empty file is refused", async () => {
    put("a.yaml", services);
    put("b.yaml", "");
    expect(await refusalOf(loadConfiguration(folder))).toEqual([
      `${folder}/b.yaml: the file is empty; write "version: 1" and "mappings: []" to say nothing`,
    ]);
  });
});

describe("what cannot be read", () => {
  test("is not there", async () => {
    const path = join(folder, "none.yaml");
    expect(await refusalOf(loadConfiguration(path))).toEqual([
      `${path}: there is no such file; check the path`,
    ]);
  });

  test("is below a file", async () => {
    const path = join(put("file", services), "below.yaml");
    expect(await refusalOf(loadConfiguration(path))).toEqual([
      `${path}: a part of the path is not a folder; check the path`,
    ]);
  });

  test("is a loop of links", async () => {
    const path = join(folder, "loop.yaml");
    symlinkSync(path, path);
    expect(await refusalOf(loadConfiguration(path))).toEqual([
      `${path}: the path is a loop of symbolic links; fix the links`,
    ]);
  });

  test("has too long a path", async () => {
    const path = "a".repeat(5000);
    expect(await refusalOf(loadConfiguration(path))).toEqual([
      `${path}: the path is too long; check the path`,
    ]);
  });

  test("is an empty path", async () => {
    expect(await refusalOf(loadConfiguration(""))).toEqual([
      '"": there is no such file; check the path',
    ]);
  });

  test("is forbidden to this user", async () => {
    const path = put("secret.yaml", services);
    chmodSync(path, 0o000);
    const load = async (): Promise<string[]> => {
      // Root reads everything, so become nobody where this test runs as root.
      if (process.geteuid?.() !== 0) return await refusalOf(loadConfiguration(path));
      chmodSync(folder, 0o755);
      process.seteuid?.(65534);
      try {
        return await refusalOf(loadConfiguration(path));
      } finally {
        process.seteuid?.(0);
      }
    };
    expect(await load()).toEqual([
      `${path}: this user may not read it; change its mode or owner, or run as a user who may`,
    ]);
  });

  test("is larger than 256 MiB", async () => {
    const path = put("huge.json", "");
    const descriptor = openSync(path, "r+");
    ftruncateSync(descriptor, 256 * 1024 * 1024 + 1);
    closeSync(descriptor);
    expect(await refusalOf(loadConfiguration(path))).toEqual([
      `${path}: the file has 256.1 MiB, and at most 256 MiB are read; split it into several files in a folder`,
    ]);
  });

  test("is a device, also as a link", async () => {
    const path = join(folder, "zero.yaml");
    symlinkSync("/dev/zero", path);
    for (const name of ["/dev/zero", path]) {
      expect(await refusalOf(loadConfiguration(name))).toEqual([
        `${name}: this is a device, not a file; give a file, or a pipe`,
      ]);
    }
  });

  test("is a socket", async () => {
    const path = join(folder, "socket");
    const server = createServer().listen(path);
    onTestFinished(() => {
      server.close();
    });
    expect(await refusalOf(loadConfiguration(path))).toEqual([
      `${path}: this is a socket, not a file; give a file, or a pipe`,
    ]);
  });

  test("is a pipe in a folder", async () => {
    pipe("a.yaml");
    expect(await refusalOf(loadConfiguration(folder))).toEqual([`${folder}/a.yaml${onlyOnce}`]);
  });
});

/** What is said of what gives its content once. */
const onlyOnce =
  ": this is not a regular file, and only a regular file can be re-read; write the configuration to a file; `ilm apply -f` takes pipes, too";

function pipe(name: string): string {
  const path = join(folder, name);
  execFileSync("mkfifo", [path]);
  return path;
}

/** Runs a script beside the test, with the path as $1. */
function shell(script: string, path: string): void {
  const child = spawn("sh", ["-c", script, "sh", path], { stdio: "ignore" });
  onTestFinished(() => {
    child.kill();
  });
}

describe("where files only will do", () => {
  const filesOnly = { filesOnly: true };

  test("a file is read, also by a link", async () => {
    const path = join(folder, "link.yaml");
    symlinkSync(put("rules.yaml", services), path);
    const { again, ruleSet } = await loadConfiguration(path, filesOnly);
    expect([again, ruleSet.services.length]).toEqual([true, 1]);
  });

  test("a pipe, a device and our own descriptors are refused at once, with a writer and without", async () => {
    const path = pipe("rules.yaml");
    for (const name of [path, "/dev/null", "-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]) {
      const [problem] = await refusalOf(loadConfiguration(name, filesOnly));
      expect(problem).toBe(`${name === "-" ? "<stdin>" : name}${onlyOnce}`);
    }
    shell('exec 3<>"$1"; exec sleep 60', path);
    expect(await refusalOf(loadConfiguration(path, filesOnly))).toEqual([`${path}${onlyOnce}`]);
  });
});

describe("a pipe", () => {
  test("is read to its end, and cannot be read again", async () => {
    const path = pipe("pipe");
    shell("(printf 'version: 1\\n'; sleep 0.1; printf 'mappings: []\\n') > \"$1\"", path);
    const { again, ruleSet } = await loadConfiguration(path);
    expect([again, ruleSet.mappings.length]).toEqual([false, 0]);
  });

  test("that no process writes into is given up, with what is being waited for", async () => {
    const path = pipe("pipe");
    expect(await refusalOf(loadConfiguration(path, { patienceMs: 50 }))).toEqual([
      `${path}: nothing was written to it for 0.05 s; check what its writer is doing, or have it write a file first and give that file`,
    ]);
  });

  test("whose writer stays and is silent is given up", async () => {
    const path = pipe("pipe");
    shell('exec 3<>"$1"; printf "version: 1" >&3; exec sleep 60', path);
    const [problem] = await refusalOf(loadConfiguration(path, { patienceMs: 1_000 }));
    expect(problem).toMatch(/: (after 10 bytes nothing more came|nothing was written)/);
  });

  test("that gives more than 256 MiB is refused", async () => {
    const path = pipe("pipe");
    shell('exec cat /dev/zero > "$1"', path);
    expect(await refusalOf(loadConfiguration(path))).toEqual([
      `${path}: more comes out of it, and at most 256 MiB are read; split it into several files in a folder`,
    ]);
  });

  test("is left when reading is called off", async () => {
    const path = pipe("pipe");
    const off = new AbortController();
    const loading = loadConfiguration(path, { signal: off.signal });
    off.abort(new Error("called off"));
    await expect(loading).rejects.toThrow("called off");
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
  ])("is refused: %s", async (_what, content, message) => {
    const path = put("rules.yaml", content);
    expect(await refusalOf(loadConfiguration(path))).toEqual([`${path}${message}`]);
  });
});

test("a byte order mark is tolerated, and CR LF", async () => {
  const path = put("rules.yaml", `\uFEFF${services.replaceAll("\n", "\r\n")}`);
  expect((await loadConfiguration(path)).ruleSet.services[0]?.origin).toEqual({
    file: path,
    line: 2,
    column: 13,
  });
});

test("a file that another program holds a lease on is read when it is given up", async () => {
  const path = put("rules.yaml", services);
  const lease = [
    "import fcntl, os, signal, sys, time",
    "f = os.open(sys.argv[1], os.O_RDWR)",
    "signal.signal(signal.SIGIO, lambda *_: (time.sleep(0.3), fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK)))",
    "fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)",
    "print('held', flush=True)",
    "while True: signal.pause()",
  ].join("\n");
  const holder = spawn("python3", ["-c", lease, path], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => {
    holder.kill();
  });
  await once(holder.stdout, "data");
  expect((await loadConfiguration(path)).ruleSet.services).toHaveLength(1);
});
