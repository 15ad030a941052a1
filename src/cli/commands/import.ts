/**
 * `ilm import`: turns the rules of other programs into a configuration. It only reads, and
 * activates nothing.
 */
import { formatImported, type Imported } from "../../config/imported.js";
import { ExitStatus, IlmError } from "../../errors.js";
import { print, type Context } from "../shell/context.js";
import type { ImportJson } from "../../json/import.js";
import { published } from "../../json/published.js";

export interface ImportOptions {
  /** The destinations of labels, each as `LABEL=DESTINATION`. */
  readonly label?: readonly string[];
}

/**
 * Prints the imported configuration. Returns status 1 when something could not be expressed; the
 * rest is printed all the same.
 */
export async function importRules(
  context: Context,
  format: "tubular" | "nft",
  files: readonly string[],
  options: ImportOptions,
): Promise<ExitStatus> {
  const imported =
    format === "tubular" ? await fromTubular(files, options.label ?? []) : await fromNft(files);
  for (const line of imported.unsaid) context.note(`left out: ${line}\n`);
  for (const line of imported.notes) context.note(`note: ${line}\n`);
  if (!context.json) context.note(nextSteps(imported));
  const { entries, unsaid, taken, left, notes } = imported;
  const json = published<ImportJson>()({ mappings: entries, unsaid, taken, left, notes });
  await print(context, json, () => formatImported(imported));
  return unsaid.length === 0 ? ExitStatus.done : ExitStatus.failed;
}

/**
 * Explains how to replace rules of NAT by mappings. The rules take precedence as long as they are
 * there.
 */
function nextSteps({ taken }: Imported): string {
  if (taken.length === 0) return "";
  return [
    "",
    "next: save the rules (`nft list ruleset > before.nft`, iptables-save), apply the mappings with",
    "`ilm apply -f FILE` or `ilm run -f FILE`, and verify with `ilm status` and `ilm explain` that each has its daemon.",
    "While the rules below exist, they come first, and the mappings get only what they leave. Then remove them,",
    "here and in the file that loads them at boot, and watch `ilm mappings` count the new connections. Those that",
    "already exist stay where they are.",
    ...taken.map(({ remove, rule }) =>
      rule.includes(remove.replace(/.* -D /, "")) ? `  ${remove}` : `  ${remove}   # ${rule}`,
    ),
    "",
  ].join("\n");
}

async function fromTubular(files: readonly string[], labels: readonly string[]): Promise<Imported> {
  const [file, ...more] = files;
  if (file === undefined || more.length > 0) {
    throw new IlmError(
      "USAGE",
      file === undefined ? "no file of bindings was given" : "more than one file was given",
      { remedy: "Write `ilm import tubular FILE`, or - for standard input." },
    );
  }
  const { importTubular } = await import("../../config/import-tubular.js");
  const destinations = labels.map((text): [string, string] => {
    const equals = text.indexOf("=");
    if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
    throw new IlmError("USAGE", `--label ${JSON.stringify(text)} has no destination`, {
      remedy: "Write it as --label foo=127.0.1.10:80.",
    });
  });
  return importTubular(parse(await read(file), file), new Map(destinations));
}

async function fromNft(files: readonly string[]): Promise<Imported> {
  const [{ importNft }, { looksLikeIptables }, { askHost, importingHost }] = await Promise.all([
    import("../../config/import-nft.js"),
    import("../../config/nft/read-iptables.js"),
    import("../../doctor/neighbours.js"),
  ]);
  if (files.length === 0) return importNft(askHost(), importingHost());
  const texts = await Promise.all(files.map(async (name) => ({ name, text: await read(name) })));
  return importNft(
    {
      saved: texts.filter(({ text }) => looksLikeIptables(text)),
      rulesets: texts
        .filter(({ text }) => !looksLikeIptables(text))
        .map(({ name, text }) => ({ name, value: parse(text, name) })),
    },
    importingHost(),
  );
}

async function read(file: string): Promise<string> {
  const { readText } = await import("../../config/read.js");
  return readText(file);
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new IlmError("USAGE", `${file} is not JSON, and not what iptables-save prints`, {
      cause,
      remedy:
        "tubular keeps its bindings as JSON, and nft prints it with -j: `nft -j list ruleset > FILE`.",
    });
  }
}
