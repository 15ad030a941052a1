/**
 * States the architecture's rules about imports as data, and finds where the source breaks them. A
 * layer is a folder below src/, or a single file there (`errors`, `version`, `main`).
 */

/** Lists what each layer may import, besides itself. Every layer may import `everyones`. */
export const layers = {
  model: [],
  json: ["model"],
  words: ["model"],
  config: ["model"],
  rules: ["model"],
  compile: ["rules", "model"],
  abi: ["model"],
  kernel: ["abi", "model"],
  dataplane: ["compile", "rules", "kernel", "abi", "model"],
  api: ["dataplane", "rules", "kernel", "json", "model"],
  control: ["api", "dataplane", "compile", "rules", "kernel", "config", "model"],
  daemon: [
    "control",
    "api",
    "dataplane",
    "rules",
    "kernel",
    "abi",
    "config",
    "words",
    "json",
    "model",
  ],
  doctor: ["api", "dataplane", "rules", "kernel", "config", "words", "model"],
  adopt: ["doctor", "control", "dataplane", "rules", "kernel", "config", "words", "model"],
  demo: [],
  cli: [
    "adopt",
    "demo",
    "daemon",
    "doctor",
    "control",
    "api",
    "dataplane",
    "compile",
    "rules",
    "kernel",
    "abi",
    "config",
    "words",
    "json",
    "model",
  ],
  main: ["cli"],
  start: [],
} as const satisfies Record<string, readonly string[]>;

/** The layers that all may import; they import nothing. */
export const everyones: readonly string[] = [
  "errors",
  "version",
  "progress",
  "patience",
  "printable",
];

/** The layers that give the same result on every host: they use no file, no socket, no process. */
const pureLayers: readonly string[] = ["model", "json", "words", "rules", "compile"];
const pureNodeModules: readonly string[] = ["node:util", "node:assert"];

/** The layers that may import each package. With one home, replacing it touches one folder. */
const homes: Readonly<Record<string, readonly string[]>> = {
  koffi: ["kernel"],
  yaml: ["config"],
  zod: ["config"],
  commander: ["cli"],
  picocolors: ["cli", "demo"],
};

/**
 * The packages that `ilm --version` and `ilm status` cannot afford to load (zod alone costs 80 ms).
 * A command that needs one loads it with `await import()`.
 */
const heavy: readonly string[] = ["koffi", "yaml", "zod"];

/** Matches calls that change a path: whoever may write to the folder decides where they go. */
const changesByPath =
  /\b(?:mkdir|mkdtemp|rm|rmdir|unlink|rename|link|symlink|chmod|chown|truncate|writeFile|appendFile|copyFile|cp)Sync\b|"node:fs\/promises"/;
/** The files that may change by path. A mount has to be made at a path: there is no other way. */
const mayChangeByPath: readonly string[] = ["src/kernel/folder.ts", "src/kernel/mounts.ts"];

export interface Violation {
  /** The path of the file, relative to the checkout. */
  readonly file: string;
  /** The line, from 1; 0 when the violation concerns the file as a whole. */
  readonly line: number;
  readonly message: string;
  readonly remedy: string;
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
  /**
   * True for an import that the compiler erases. It counts for the layers, but is not loaded at
   * start.
   */
  readonly typeOnly: boolean;
  /** True for an import that is loaded when it is reached, not at start. */
  readonly dynamic: boolean;
}

const importPattern =
  /^[ \t]*(?:import|export)\s+(type\s)?(?:[^;"'`]*?\sfrom\s+)?"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;

/**
 * Finds every import in a module's text. The formatter ensures that specifiers are in double
 * quotes.
 */
export function findImports(text: string): Import[] {
  const found: Import[] = [];
  for (const match of text.matchAll(importPattern)) {
    const specifier = match[2] ?? match[3];
    if (specifier === undefined) continue;
    found.push({
      specifier,
      line: text.slice(0, match.index).split("\n").length,
      typeOnly: match[1] !== undefined,
      dynamic: match[3] !== undefined,
    });
  }
  return found;
}

/** Returns the layer of a file: `src/config/parse.ts` -> `config`, `src/main.ts` -> `main`. */
export function layerOf(file: string): string {
  const inside = file.replace(/^src\//, "");
  const slash = inside.indexOf("/");
  return slash === -1 ? inside.replace(/\.ts$/, "") : inside.slice(0, slash);
}

/** Returns where a relative import leads, as a path like that of the importer. */
function resolveImport(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const step of specifier.split("/")) {
    if (step === "..") parts.pop();
    else if (step !== ".") parts.push(step);
  }
  return parts.join("/").replace(/\.js$/, ".ts");
}

function mayImport(layer: string): readonly string[] | undefined {
  return (layers as Readonly<Record<string, readonly string[]>>)[layer];
}

function judgeRelative(layer: string, target: string): [string, string] | undefined {
  if (!target.startsWith("src/")) {
    return [`imports ${target}, which is not part of the product`, "move what is shared into src/"];
  }
  const wanted = layerOf(target);
  if (wanted === layer) return undefined;
  if (everyones.includes(layer)) {
    return [`${layer} imports ${wanted}`, `${layer} is everyone's, so it imports nothing`];
  }
  if (everyones.includes(wanted)) return undefined;
  const allowed = mayImport(layer) ?? [];
  if (allowed.includes(wanted)) return undefined;
  const list = allowed.length === 0 ? "nothing" : `only ${allowed.join(", ")}`;
  return [
    `${layer} imports ${wanted} (${target})`,
    `${layer} may import ${list}: move the shared part down, or pass it in as an argument`,
  ];
}

function judgeExternal(layer: string, specifier: string): [string, string] | undefined {
  if (specifier.startsWith("node:")) {
    if (!pureLayers.includes(layer) || pureNodeModules.includes(specifier)) return undefined;
    return [
      `${layer} is pure and imports ${specifier}`,
      "let a layer above read or ask, and pass the result in",
    ];
  }
  const home = homes[specifier];
  if (home === undefined) {
    return [
      `${specifier} has no home`,
      "say in tools/layer-rules.ts which layer owns this package, and record the decision in docs/decisions",
    ];
  }
  if (home.includes(layer)) return undefined;
  return [
    `${layer} imports ${specifier}, which is at home in ${home.join(" and ")}`,
    `use what src/${home[0]} exports`,
  ];
}

function judge(file: string, one: Import): [string, string] | undefined {
  const layer = layerOf(file);
  return one.specifier.startsWith(".")
    ? judgeRelative(layer, resolveImport(file, one.specifier))
    : judgeExternal(layer, one.specifier);
}

/**
 * Finds the chains of static imports by which a heavy package is loaded at start, shortest first.
 */
function heavyAtStart(sources: ReadonlyMap<string, string>): Violation[] {
  const violations: Violation[] = [];
  const cameFrom = new Map<string, string>([["src/main.ts", ""]]);
  for (const file of cameFrom.keys()) {
    for (const one of findImports(sources.get(file) ?? "")) {
      if (one.dynamic || one.typeOnly) continue;
      if (heavy.includes(one.specifier)) {
        const chain = [file];
        for (let at = cameFrom.get(file); at; at = cameFrom.get(at)) chain.unshift(at);
        violations.push({
          file,
          line: one.line,
          message: `${one.specifier} is loaded whenever ilm starts: ${chain.join(" -> ")}`,
          remedy: "`await import()` one link of that chain inside the command that needs it",
        });
      } else if (one.specifier.startsWith(".")) {
        const target = resolveImport(file, one.specifier);
        if (!cameFrom.has(target)) cameFrom.set(target, file);
      }
    }
  }
  return violations;
}

/**
 * Finds modules that import each other, types included: who reads one has to have read the other.
 */
function circles(sources: ReadonlyMap<string, string>): Violation[] {
  const violations: Violation[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (file: string): void => {
    if (done.has(file)) return;
    const since = path.indexOf(file);
    if (since !== -1) {
      violations.push({
        file,
        line: 0,
        message: `modules import each other: ${[...path.slice(since), file].join(" -> ")}`,
        remedy: "move what they share into a module that imports neither",
      });
      return;
    }
    path.push(file);
    for (const { specifier } of findImports(sources.get(file) ?? "")) {
      const target = specifier.startsWith(".") ? resolveImport(file, specifier) : "";
      if (sources.has(target)) walk(target);
    }
    path.pop();
    done.add(file);
  };
  for (const file of sources.keys()) walk(file);
  return violations;
}

/**
 * Finds every violation. `sources` maps the path relative to the checkout (`src/...`) to the text,
 * for every module of the product.
 */
export function findViolations(sources: ReadonlyMap<string, string>): Violation[] {
  const violations: Violation[] = [];
  for (const [file, text] of sources) {
    const layer = layerOf(file);
    if (mayImport(layer) === undefined && !everyones.includes(layer)) {
      violations.push({
        file,
        line: 0,
        message: `src/${layer} is no layer`,
        remedy:
          "put the module into a layer, or add the layer to tools/layer-rules.ts and ARCHITECTURE.md",
      });
      continue;
    }
    text.split("\n").forEach((line, index) => {
      const found = mayChangeByPath.includes(file) ? null : changesByPath.exec(line);
      if (found === null) return;
      violations.push({
        file,
        line: index + 1,
        message: `${found[0]} changes what is at a path, which another user may have prepared`,
        remedy: "use Folder of src/kernel/folder.ts, which works by descriptor",
      });
    });
    for (const one of findImports(text)) {
      const found = judge(file, one);
      if (found === undefined) continue;
      violations.push({ file, line: one.line, message: found[0], remedy: found[1] });
    }
  }
  return [...violations, ...circles(sources), ...heavyAtStart(sources)];
}
