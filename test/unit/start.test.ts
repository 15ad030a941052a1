// Goal: the bundle runs the same with bytecode, with none, and with what another V8 made; and what
// it cannot run without is named: a newer Node, and koffi's native code.
import { execFile } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BYTECODE_FILE, scriptOf, start } from "../../src/start.js";

let folder: string;
const told: unknown[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ilm-start-"));
  told.length = 0;
  Object.assign(globalThis, { tell: (what: unknown) => told.push(what) });
  writeFileSync(
    join(folder, "main.js"),
    'const { answer } = require("./part.js"); require("node:os"); tell(answer()); tell(require("./part.js").loads());',
  );
  writeFileSync(
    join(folder, "part.js"),
    "let loads = 0; loads++; exports.answer = () => 42; exports.loads = () => loads;",
  );
});

afterEach(() => {
  Reflect.deleteProperty(globalThis, "tell");
  rmSync(folder, { recursive: true });
});

function writeBytecode(v8: string, part: Buffer): void {
  const index = Buffer.from(JSON.stringify({ v8, chunks: { "part.js": [0, part.length] } }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(index.length);
  writeFileSync(join(folder, BYTECODE_FILE), Buffer.concat([length, index, part]));
}

test("a bundle without bytecode runs, each chunk once", () => {
  start(folder, "main.js");
  expect(told).toEqual([42, 1]);
});

test("a bundle runs with its bytecode, which V8 takes", () => {
  const bytecode = scriptOf(folder, "part.js").createCachedData();
  writeBytecode(process.versions.v8, bytecode);
  start(folder, "main.js");
  expect(told).toEqual([42, 1]);
  expect(scriptOf(folder, "part.js", bytecode).cachedDataRejected).toBe(false);
});

test("bytecode of another V8 is not looked at", () => {
  writeBytecode("1.2.3", Buffer.from("none"));
  start(folder, "main.js");
  expect(told).toEqual([42, 1]);
});

test("bytecode that V8 refuses is compiled again", () => {
  writeBytecode(process.versions.v8, Buffer.from("not what V8 makes"));
  start(folder, "main.js");
  expect(told).toEqual([42, 1]);
});

test("bytecode that cannot be read is an error", () => {
  writeFileSync(join(folder, BYTECODE_FILE), "");
  expect(() => start(folder, "main.js")).toThrow(SyntaxError);
  expect(told).toEqual([]);
});

test("a stack trace names the chunk's file and line", () => {
  writeFileSync(join(folder, "main.js"), "\ntell(new Error('here').stack);");
  start(folder, "main.js");
  expect(String(told[0])).toContain(`${join(folder, "main.js")}:2:`);
});

test("what was built has bytecode for every chunk that is ours, and V8 takes it", () => {
  const built = join(import.meta.dirname, "../../dist/src/bundle");
  copyFileSync(join(built, BYTECODE_FILE), join(folder, BYTECODE_FILE));
  const bytes = readFileSync(join(folder, BYTECODE_FILE));
  const length = bytes.readUInt32LE();
  const { chunks } = JSON.parse(bytes.subarray(4, 4 + length).toString()) as {
    chunks: Record<string, [number, number]>;
  };
  const names = Object.keys(chunks);
  expect(names).toContain("main.js");
  for (const [name, [offset, size]] of Object.entries(chunks)) {
    const begin = 4 + length + offset;
    const cached = bytes.subarray(begin, begin + size);
    expect(scriptOf(built, name, cached).cachedDataRejected, name).toBe(false);
  }
});

interface Ended {
  readonly status: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

async function ilm(root: string, args: readonly string[], options: readonly string[] = []) {
  const command = [...options, join(root, "bin/ilm"), ...args];
  return await new Promise<Ended>((resolve) => {
    execFile(process.execPath, command, (error, stdout, stderr) => {
      resolve({ status: error?.code ?? 0, stdout, stderr });
    });
  });
}

const root = join(import.meta.dirname, "../..");

test("a Node that is older than the package asks for is named, with the one that it needs", async () => {
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    engines: { node: string };
  };
  const [, major, minor] = /^>=(\d+)\.(\d+)$/.exec(engines.node) ?? [];
  const withNode = async (version: string): Promise<Ended> => {
    const preload = join(folder, "version.cjs");
    const versions = `{ ...process.versions, node: "${version}" }`;
    writeFileSync(preload, `Object.defineProperty(process, "versions", { value: ${versions} });`);
    return await ilm(root, ["--version"], ["--require", preload]);
  };
  for (const version of ["0.10.48", "18.20.4", `${major}.${Number(minor) - 1}.9`]) {
    const { status, stdout, stderr } = await withNode(version);
    expect(stderr).toContain(`ilm: Node.js ${version} is too old`);
    expect(stderr).toContain(`Install Node.js ${major}.${minor} or later`);
    expect({ status, stdout }).toEqual({ status: 4, stdout: "" });
  }
  for (const version of [`${major}.${minor}.0`, `${Number(major) + 1}.0.0`]) {
    expect(await withNode(version)).toMatchObject({ status: 0, stderr: "" });
  }
});

test("an installation without koffi's native code says which package is missing, or why it cannot be loaded", async () => {
  const installed = join(folder, "installed");
  for (const part of ["bin", "package.json", "dist/src/bundle"]) {
    cpSync(join(root, part), join(installed, part), { recursive: true });
  }
  const name = `@koromix/koffi-${process.platform}-${process.arch}`;
  const missing = await ilm(installed, ["status", "--json"]);
  const { error } = JSON.parse(missing.stdout) as { error: { code: string; message: string } };
  expect(error.code).toBe("NO_KOFFI");
  expect(error.message).toContain(`${name} is not installed`);
  expect(missing.status).toBe(4);
  const native = join(installed, "node_modules", name);
  mkdirSync(native, { recursive: true });
  writeFileSync(join(native, "package.json"), JSON.stringify({ name, main: "koffi.node" }));
  writeFileSync(join(native, "koffi.node"), "for another machine");
  const { stderr, status } = await ilm(installed, ["status"]);
  expect(stderr).toMatch(new RegExp(`^ilm: the package ${name} cannot be loaded: .*koffi.node`));
  expect(status).toBe(4);
});
