/** The examples of shell that documents, help and comments show. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildProgram } from "../../src/cli/shell/program.js";
import { describeCommands } from "../../src/cli/shell/reference.js";
import { root } from "./paths.js";

export interface ShellExample {
  /** Where a reader meets it: `docs/daemon.md:61`, `ilm wait --help`. */
  readonly place: string;
  readonly text: string;
  /** Why it cannot be run by a test, as the document says; null: it is run. */
  readonly unrun: string | null;
}

/** The line before a block that no test can run. */
const UNRUN = /^<!-- not run: (.+) -->$/;

/** Other names of the language, by which a block would be overlooked. */
const alsoShell = ["bash", "shell", "zsh", "console", "shell-session"];

function markdownFiles(): string[] {
  const below = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" });
  const documents = below.filter((name) => name.endsWith(".md")).map((name) => join("docs", name));
  const generated = "docs/commands.md";
  return ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "kmod/README.md", ...documents]
    .filter((name) => name !== generated)
    .toSorted();
}

interface Fence {
  readonly language: string;
  readonly text: string;
  /** The line of the fence, from 1. */
  readonly line: number;
  /** What is on the line before it. */
  readonly before: string;
}

export function fencesOf(document: string): Fence[] {
  const lines = document.split("\n");
  const fences: Fence[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const language = /^\s*```(.*)$/.exec(lines[at] ?? "")?.[1];
    if (language === undefined) continue;
    const start = at;
    at += 1;
    while (at < lines.length && !/^\s*```$/.test(lines[at] ?? "")) at += 1;
    const text = lines.slice(start + 1, at).join("\n");
    fences.push({ language, text, line: start + 1, before: lines[start - 1] ?? "" });
  }
  return fences;
}

/** Returns the blocks of shell of one document. Throws when a block would be overlooked. */
export function shellOf(name: string, document: string): ShellExample[] {
  return fencesOf(document).flatMap(({ language, text, line, before }) => {
    const place = `${name}:${line}`;
    if (alsoShell.includes(language)) {
      throw new Error(`${place}: a block of ${language}: write \`\`\`sh for what is to be run`);
    }
    if (language !== "sh") return [];
    return [{ place, text, unrun: UNRUN.exec(before)?.[1] ?? null }];
  });
}

function ofDocuments(): ShellExample[] {
  return markdownFiles().flatMap((name) => shellOf(name, readFileSync(join(root, name), "utf8")));
}

/** What `--help`, docs/commands.md and the man pages show, in their order. */
function ofCommands(): ShellExample[] {
  const program = describeCommands(buildProgram(() => Promise.resolve()));
  return [program, ...program.commands].flatMap(({ name, examples }) =>
    examples.map(({ command: text }) => {
      const place = name === program.name ? "ilm --help" : `ilm ${name} --help`;
      return { place, text, unrun: null };
    }),
  );
}

/** Commands in comments, each on a line of its own and with what it is for behind spaces. */
export function commandsInComments(name: string, text: string): ShellExample[] {
  return text.split("\n").flatMap((line, index) => {
    const command = /^#\s{2,}(ilm \S.*?)(?:\s{2,}\S.*)?$/.exec(line)?.[1];
    return command === undefined
      ? []
      : [{ place: `${name}:${index + 1}`, text: command, unrun: null }];
  });
}

function ofComments(): ShellExample[] {
  return ["examples", "contrib"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .toSorted()
      .flatMap((path) => commandsInComments(path.slice(root.length), readFileSync(path, "utf8"))),
  );
}

export function shellExamples(): ShellExample[] {
  return [...ofDocuments(), ...ofCommands(), ...ofComments()];
}
