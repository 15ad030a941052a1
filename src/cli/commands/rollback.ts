/** `ilm rollback`: makes the rules of an earlier change active again. */
import type { Performed } from "../../control/perform.js";
import type { RolledBackJson } from "../../json/history.js";
import type { DryRunJson } from "../../json/diff.js";
import { published } from "../../json/published.js";
import { noActiveRules, readRules } from "../../model/rules.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { describeDifference, differenceOf, differenceShape } from "../render/difference.js";
import { print, type Context } from "../shell/context.js";
import type { DryRunOptions } from "../shell/dry-run.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";
import { describeNames, describePerformed } from "./apply.js";
import { parseChange } from "./history.js";

export type RollbackOptions = WaitOptions & TimingOptions & DryRunOptions;

export async function rollback(
  context: Context,
  options: RollbackOptions,
  number: string | undefined,
): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  const wanted = number === undefined ? null : parseChange(number);
  await withDataPlane(context, async (dataPlane) => {
    const { findTarget } = await import("../../control/history/roll-back.js");
    const { entry, rules } = findTarget(dataPlane, wanted);
    if (options.dryRun === true) {
      const before = readRules(dataPlane.active()?.rules ?? noActiveRules);
      const difference = await differenceOf(before, readRules(rules));
      const timing = stepTimes();
      const json = { dryRun: true, ...differenceShape(difference), warnings: [], timing } as const;
      await print(
        context,
        published<DryRunJson>()(json),
        () =>
          `to change ${entry.number}, of ${entry.time}\n` +
          describeDifference(difference, context.colours) +
          "dry run: nothing was changed\n" +
          describeTiming(options, timing),
      );
      return;
    }
    // By its number: another change may be made meanwhile.
    const change = { kind: "rollback", to: entry.number } as const;
    await report(await context.reach.performChange(dataPlane, change, wait), entry.number);
  });

  async function report(performed: Performed, to: number): Promise<void> {
    const timing = stepTimes();
    await print(
      context,
      published<RolledBackJson>()({ ...performed, to, timing }),
      () =>
        `rolled back to change ${to}\n` +
        describePerformed(performed) +
        describeNames(performed) +
        describeTiming(options, timing),
    );
  }
}
