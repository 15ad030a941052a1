/** `--dry-run`: shows what a change would do, without a change, a lock or a daemon. */
import { bootSeconds } from "../../kernel/boot-time.js";
import { rulesAfter, withoutEnded, type Change } from "../../rules/change.js";
import { activeIfReadable } from "../../control/active.js";
import type { DataPlane } from "../../dataplane/types.js";
import type { Problem } from "../../errors.js";
import { noActiveRules, readRules } from "../../model/rules.js";
import { stepTimes } from "../../progress.js";
import { print, type Context } from "./context.js";
import type { DryRunJson } from "../../json/diff.js";
import { published } from "../../json/published.js";
import { describeDifference, differenceOf, differenceShape } from "../render/difference.js";
import { mostOf, refuseDifferences, type DifferencesOptions } from "./differences.js";
import { describeTiming, type TimingOptions } from "./timing.js";

/** How much of the difference to show is only asked with `dryRun`. */
export interface DryRunOptions extends DifferencesOptions {
  readonly dryRun?: boolean;
}

/** Reports whether this is a dry run. Throws USAGE for what only a dry run takes. */
export function isDryRun(options: DryRunOptions): boolean {
  if (options.dryRun === true) {
    mostOf(options);
    return true;
  }
  refuseDifferences(options, "--dry-run");
  return false;
}

type RulesChange = Extract<Change, { kind: "apply" | "add" | "remove" }>;

/**
 * Prints what a change would do. Throws what the change itself would throw because of the rules:
 * CONFIGURATION, NOT_FOUND. The caller has shown `warnings` already.
 */
export async function printDryRun(
  context: Context,
  dataPlane: DataPlane,
  change: RulesChange,
  {
    warnings = [],
    ...options
  }: TimingOptions & DifferencesOptions & { readonly warnings?: readonly Problem[] },
): Promise<void> {
  // As in the change itself, only a whole configuration may replace rules that cannot be read.
  const active = change.kind === "apply" ? activeIfReadable(dataPlane) : dataPlane.active();
  const before = active?.rules ?? noActiveRules;
  const after = rulesAfter(withoutEnded(before, bootSeconds()), change);
  const difference = await differenceOf(readRules(before), readRules(after));
  const timing = stepTimes();
  const most = mostOf(options);
  await print(
    context,
    published<DryRunJson>()({
      dryRun: true,
      ...differenceShape(difference, most),
      warnings,
      timing,
    }),
    () =>
      describeDifference(difference, context.colours, most) +
      "dry run: nothing was changed\n" +
      describeTiming(options, timing),
  );
}
