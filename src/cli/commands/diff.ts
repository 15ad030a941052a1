/**
 * `ilm diff`: shows what `apply` would change, or how two configurations differ, of which none need
 * be active.
 */
import { rulesAfter } from "../../rules/change.js";
import { ExitStatus, IlmError, type Problem } from "../../errors.js";
import { noActiveRules, readRules, type Rules } from "../../model/rules.js";
import { print, type Context } from "../shell/context.js";
import type { DiffJson } from "../../json/diff.js";
import { published } from "../../json/published.js";
import { describeDifference, differenceOf, differenceShape } from "../render/difference.js";
import { mostOf, type DifferencesOptions } from "../shell/differences.js";
import { loadApart, loadWanted, type SourceOptions } from "../shell/load.js";
import { noteWarnings } from "../render/error.js";
import { withDataPlaneAfter } from "../shell/with-data-plane.js";

export interface DiffOptions extends SourceOptions, DifferencesOptions {
  /** The path of the configuration to compare with, in the place of what is active. */
  readonly against?: string;
}

interface Sides {
  readonly before: Rules;
  readonly after: Rules;
  /** What is doubtful about `after`. */
  readonly warnings: readonly Problem[];
}

/**
 * Prints the difference. Returns, as diff(1) does, 0 when there is nothing to change and 1 when
 * there is.
 */
export async function diff(
  context: Context,
  options: DiffOptions,
  mappings: readonly string[],
): Promise<ExitStatus> {
  const most = mostOf(options);
  const { against } = options;
  const { before, after, warnings } =
    against === undefined
      ? await besideActive(context, options, mappings)
      : await betweenFiles(against, options, mappings);
  const difference = await differenceOf(before, after);
  noteWarnings(context, warnings);
  await print(context, published<DiffJson>()(differenceShape(difference, most)), () =>
    describeDifference(difference, context.colours, most),
  );
  return difference.same ? ExitStatus.done : ExitStatus.failed;
}

async function besideActive(
  context: Context,
  options: SourceOptions,
  mappings: readonly string[],
): Promise<Sides> {
  return await withDataPlaneAfter(
    context,
    (kept) => loadWanted(options, mappings, kept),
    (dataPlane, read) => {
      const active = dataPlane.active()?.rules ?? noActiveRules;
      const wanted = rulesAfter(active, { kind: "apply", ...read });
      return { before: readRules(active), after: readRules(wanted), warnings: read.warnings };
    },
  );
}

/** Asks neither the data plane nor the host. */
async function betweenFiles(
  against: string,
  options: SourceOptions,
  mappings: readonly string[],
): Promise<Sides> {
  if (against === "-" && options.file?.includes("-") === true) {
    throw new IlmError("USAGE", "--against: standard input is read once, and -f reads it", {
      remedy: "Write one of the two to a file.",
    });
  }
  const { rules: before } = await loadApart({ file: [against] });
  const { rules: after, warnings } = await loadApart(options, mappings);
  return { before, after, warnings };
}
