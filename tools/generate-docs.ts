/**
 * Writes what is made from the definitions of the command line and of the configuration:
 * docs/commands.md, the table of events in docs/api.md, man/*, completions/*. With `--check` it
 * writes nothing, names what is stale, and fails.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { renderCompletion, shells } from "../src/cli/shell/completions.js";
import { buildProgram, exitStatuses } from "../src/cli/shell/program.js";
import { describeCommands } from "../src/cli/shell/reference.js";
import { configurationJsonSchema } from "../src/config/schema.js";
import { eventShapes } from "../src/json/events.js";
import { failureOutput as failure, outputs } from "../src/json/outputs.js";
import { version } from "../src/version.js";
import { replacePart } from "./markdown.js";
import { renderEvents } from "./reference-events.js";
import { renderConfigurationPage } from "./reference-man-configuration.js";
import { renderManPages } from "./reference-man.js";
import { renderMarkdown } from "./reference-markdown.js";

/** Returns the content of each generated file, by path. */
function generate(): Map<string, string> {
  const program = describeCommands(buildProgram(() => Promise.resolve()));
  const context = { version, exitStatuses, program, outputs, failure };
  const files = new Map([
    ["docs/commands.md", renderMarkdown(context)],
    ["docs/api.md", replacePart(read("docs/api.md") ?? "", "events", renderEvents(eventShapes))],
  ]);
  for (const [name, content] of renderManPages(context)) {
    files.set(join("man", name), content);
  }
  files.set(join("man", "ilm.yaml.5"), configurationPage());
  for (const shell of shells) {
    files.set(join("completions", `ilm.${shell}`), renderCompletion(shell, program));
  }
  return files;
}

function configurationPage(): string {
  const reference = readFileSync("docs/configuration.md", "utf8");
  const [, first] = /^```yaml\n([^]*?)^```$/m.exec(reference) ?? [];
  if (first === undefined) throw new Error("docs/configuration.md begins without an example");
  return renderConfigurationPage({
    version,
    schema: configurationJsonSchema(),
    reference,
    examples: [
      ["Services with the ports that lead to them, and a mapping", first],
      ["A whole server", readFileSync("examples/self-hosted.yaml", "utf8")],
    ],
  });
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Returns the man pages of what no longer exists. */
function leftOver(files: ReadonlyMap<string, string>): string[] {
  mkdirSync("man", { recursive: true });
  return readdirSync("man")
    .map((name) => join("man", name))
    .filter((path) => /\.[15]$/.test(path) && !files.has(path));
}

const files = generate();
const changed = [...files].filter(([path, content]) => read(path) !== content);
const gone = leftOver(files);
if (process.argv.includes("--check")) {
  for (const path of [...changed.map(([path]) => path), ...gone]) {
    console.error(`${path} is stale; run: make generate`);
    process.exitCode = 1;
  }
} else {
  for (const [path, content] of changed) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  for (const path of gone) rmSync(path);
}
