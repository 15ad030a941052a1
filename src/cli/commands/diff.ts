/** `ilm diff`: shows what `apply` would change. */
import { rulesAfter } from "../../rules/change.js";
import { ExitStatus } from "../../errors.js";
import { emptyRules } from "../../model/rules.js";
import { print, type Context } from "../shell/context.js";
import type { DiffJson } from "../../json/diff.js";
import { published } from "../../json/published.js";
import { describeDifference, differenceOf, differenceShape } from "../render/difference.js";
import { loadWanted, type SourceOptions } from "../shell/load.js";
import { noteWarnings } from "../render/error.js";
import { withDataPlaneAfter } from "../shell/with-data-plane.js";

/**
 * Prints the difference. Returns, as diff(1) does, 0 when there is nothing to change and 1 when
 * there is.
 */
export async function diff(
  context: Context,
  options: SourceOptions,
  mappings: readonly string[],
): Promise<ExitStatus> {
  const { desired, before } = await withDataPlaneAfter(
    context,
    (kept) => loadWanted(options, mappings, kept),
    (dataPlane, read) => ({ desired: read, before: dataPlane.active()?.rules ?? emptyRules }),
  );
  const after = rulesAfter(before, { kind: "apply", ...desired });
  const difference = await differenceOf(before, after);
  noteWarnings(context, desired.warnings);
  await print(context, published<DiffJson>()(differenceShape(difference)), () =>
    describeDifference(difference, context.colours),
  );
  return difference.same ? ExitStatus.done : ExitStatus.failed;
}
