/**
 * `node dist/tools/bytecode.js FOLDER`: writes the bytecode of the bundle's chunks in FOLDER, which
 * is some dist/src/bundle, beside them, for the Node that runs this. It holds every function,
 * except that of the large packages it holds only those that `ilm check` calls: they have many
 * more.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import type { Script } from "node:vm";
import { BYTECODE_FILE, runChunk, scriptOf, type BytecodeIndex } from "../src/start.js";
import { bundledApart } from "./bytecode-parts.js";

const [given] = process.argv.slice(2);
if (given === undefined) throw new Error("usage: node dist/tools/bytecode.js FOLDER");
// V8 writes the names of files into the bytecode, which is to be the same wherever it is made.
process.chdir(join(given, "../../.."));
const folder = "/proc/self/cwd/dist/src/bundle";
const example = resolve(import.meta.dirname, "../../examples/self-hosted.yaml");
const chunkNames = readdirSync(folder)
  .filter((name) => name.endsWith(".js"))
  .toSorted();
// V8 notes in the bytecode what it has compiled further, and forgets what has not been called for
// long. Both depend on time, and the same sources are to give the same bytes.
const timely = ["sparkplug", "maglev", "opt", "flush-bytecode"];
for (const name of timely) setFlagsFromString(`--no-${name}`);

const scripts = new Map<string, Script>();
process.argv = [process.argv0, "ilm", "check", "-f", example];
process.stdout.write = () => true;
runChunk(
  folder,
  "main.js",
  () => undefined,
  (chunk, script) => scripts.set(chunk, script),
);
process.on("exit", writeBytecode);

function writeBytecode(): void {
  // V8 refuses bytecode that was made under other flags than its own.
  for (const name of timely) setFlagsFromString(`--${name}`);
  const parts: Buffer[] = [];
  const chunks: Record<string, [number, number]> = {};
  let offset = 0;
  for (const chunk of chunkNames) {
    if (chunk === "start.js") continue;
    const isPackage = bundledApart.some((name) => chunk.startsWith(`${name}-`));
    const called = isPackage ? scripts.get(chunk) : undefined;
    const bytes = (called ?? compileAll(chunk)).createCachedData();
    chunks[chunk] = [offset, bytes.length];
    parts.push(bytes);
    offset += bytes.length;
  }
  const index: BytecodeIndex = { v8: process.versions.v8, chunks };
  const head = Buffer.from(JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  writeFileSync(join(folder, BYTECODE_FILE), Buffer.concat([length, head, ...parts]));
}

/**
 * Compiles every function of a chunk. Restores the flag at once: V8 refuses bytecode that was made
 * under other flags than its own.
 */
function compileAll(chunk: string): Script {
  setFlagsFromString("--no-lazy");
  const script = scriptOf(folder, chunk);
  setFlagsFromString("--lazy");
  return script;
}
