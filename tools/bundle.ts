/**
 * Bundles dist/src/main.js and everything that it imports into dist/src/bundle: a chunk for each
 * command's own code, and the bytecode of all chunks (tools/bytecode.ts).
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build, type Plugin } from "rolldown";
import { bundledApart } from "./bytecode-parts.js";
import { BUILD_FILE } from "../src/version.js";

const [root] = process.argv.slice(2);
if (root === undefined) throw new Error("usage: node dist/tools/bundle.js CHECKOUT");
const source = resolve(root, "dist", "src");
const folder = join(source, "bundle");
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
      groups: bundledApart.map((name) => ({ name, test: new RegExp(`/node_modules/${name}/`) })),
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
execFileSync(process.execPath, [join(root, "dist/tools/bytecode.js"), folder], {
  stdio: ["ignore", "inherit", "inherit"],
});
