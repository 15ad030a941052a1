/** `ilm export`: prints what is active as a configuration that `apply` takes. */
import { type Exported, type ExportFormat, writeConfiguration } from "../../config/export.js";
import { IlmError } from "../../errors.js";
import { formatDrained } from "../../model/drained.js";
import { readRules } from "../../model/rules.js";
import { describePending } from "../../words/change.js";
import { count, printable } from "../../words/text.js";
import type { Context } from "../shell/context.js";
import { needActive, withDataPlane } from "../shell/with-data-plane.js";

export interface ExportOptions {
  /** Only the mappings of files. */
  readonly fileOnly?: boolean;
  /** Only the mappings that were added at run time. */
  readonly runtime?: boolean;
  /** One mapping on a line, for many. */
  readonly ndjson?: boolean;
}

/** `apply` reads at most this much YAML, in characters. */
const YAML_MAX = 16 * 1024 * 1024;

export async function exportRules(context: Context, options: ExportOptions): Promise<void> {
  const { fileOnly = false, runtime: runtimeOnly = false, ndjson = false } = options;
  if (fileOnly && runtimeOnly) {
    throw new IlmError("USAGE", "--file-only and --runtime leave nothing together", {
      remedy: "Give one of them, or none for all mappings.",
    });
  }
  const format: ExportFormat = ndjson ? "ndjson" : context.json ? "json" : "yaml";
  await withDataPlane(context, async (dataPlane) => {
    const { rules, pending } = needActive(dataPlane);
    const { file, runtime: all, drained = [] } = readRules(rules);
    // What was added for some time ends by itself.
    const runtime = all.filter(({ until }) => until === undefined);
    const ending = all.filter(({ until }) => until !== undefined);
    const { mappings, ...head } = file;
    const exported: Exported = {
      head,
      parts: [
        { title: "", mappings: runtimeOnly ? [] : mappings },
        { title: "added at run time", mappings: fileOnly ? [] : runtime },
      ],
    };
    let length = 0;
    for (const piece of writeConfiguration(exported, format)) {
      length += piece.length;
      context.write(piece);
      if (context.isBehind()) await context.caughtUp();
    }
    if (format === "yaml" && length > YAML_MAX) {
      context.note(
        "note: this is more YAML than `apply` reads (16 MiB); --ndjson is what it reads fastest\n",
      );
    }
    if (pending !== null) {
      context.note(`note: it ${describePending(pending)}\n`);
    }
    if (ending.length > 0 && !fileOnly) {
      const names = [...new Set(ending.map(({ name }) => name))].join(", ");
      context.note(`note: without what \`ilm add --for\` added for a time: ${printable(names)}\n`);
    }
    if (drained.length > 0 && !runtimeOnly) {
      const names = drained.map(formatDrained).join(", ");
      context.note(
        `note: a configuration does not say what is drained: ${printable(names)} (\`ilm drain\`)\n`,
      );
    }
    if (runtime.length > 0 && !fileOnly && !runtimeOnly) {
      context.note(
        `note: it has ${count(runtime.length, "mapping")} that \`ilm add\` added: applied here, they become the file's (--file-only leaves them out)\n`,
      );
    }
  });
}
