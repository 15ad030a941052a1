/**
 * Bundles dist/src/main.js and everything that it imports into dist/src/bundle: a chunk for each
 * command's own code, and the bytecode of all chunks. The bytecode holds every function, except
 * that of the large packages it holds only those that `ilm check` calls: they have many more.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import type { Script } from "node:vm";
import { build, type Plugin } from "rolldown";
import { BYTECODE_FILE, runChunk, scriptOf, type BytecodeIndex } from "../src/start.js";
import { BUILD_FILE } from "../src/version.js";

const [root] = process.argv.slice(2);
if (root === undefined) throw new Error("usage: node dist/tools/bundle.js CHECKOUT");
const source = resolve(root, "dist", "src");
const folder = join(source, "bundle");
const packages = ["yaml", "zod", "commander"];
const NO_CHILD_PROCESSES = "\0no-child-processes";

/**
 * Replaces child_process for commander, which can start programs as subcommands. Ours starts none,
 * and loading the module takes 6 ms.
 */
const withoutChildProcesses: Plugin = {
  name: "without-child-processes",
  resolveId: (id, importer) =>
    /^(?:node:)?child_process$/.test(id) && importer?.includes("/commander/") === true
      ? NO_CHILD_PROCESSES
      : null,
  load: (id) =>
    id === NO_CHILD_PROCESSES
      ? 'export default {}; export function spawn() { throw new Error("no program is started here"); }'
      : null,
};

await build({
  input: { main: join(source, "main.js"), start: join(source, "start.js") },
  platform: "node",
  // koffi's native code is one package for each kind of machine.
  external: /^@koromix\//,
  plugins: [withoutChildProcesses],
  logLevel: "warn",
  output: {
    dir: folder,
    cleanDir: true,
    format: "cjs",
    dynamicImportInCjs: false,
    codeSplitting: {
      groups: packages.map((name) => ({ name, test: new RegExp(`/node_modules/${name}/`) })),
    },
  },
});
writeFileSync(join(folder, "package.json"), '{ "type": "commonjs" }\n');
const chunkNames = readdirSync(folder)
  .filter((name) => name.endsWith(".js"))
  .toSorted();
const digest = createHash("sha256");
for (const name of chunkNames) digest.update(readFileSync(join(folder, name)));
writeFileSync(join(folder, BUILD_FILE), digest.digest("hex"));

const scripts = new Map<string, Script>();
process.argv = [process.argv0, "ilm", "check", "-f", join(root, "examples", "self-hosted.yaml")];
process.stdout.write = () => true;
runChunk(
  folder,
  "main.js",
  () => undefined,
  (chunk, script) => scripts.set(chunk, script),
);
process.on("exit", writeBytecode);

function writeBytecode(): void {
  const parts: Buffer[] = [];
  const chunks: Record<string, [number, number]> = {};
  let offset = 0;
  for (const chunk of chunkNames) {
    if (chunk === "start.js") continue;
    const isPackage = packages.some((name) => chunk.startsWith(`${name}-`));
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
