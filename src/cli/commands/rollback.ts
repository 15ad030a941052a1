/** `ilm rollback`: makes the rules of an earlier change active again. */
import type { Performed } from "../../control/perform.js";
import type { RolledBackJson } from "../../json/history.js";
import type { DryRunJson } from "../../json/diff.js";
import { published } from "../../json/published.js";
import { noActiveRules, readRules } from "../../model/rules.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { describeDifference, differenceOf, differenceShape } from "../render/difference.js";
import type { RollbackChange } from "../../rules/change.js";
import { print, type Context } from "../shell/context.js";
import { mostOf } from "../shell/differences.js";
import { isDryRun, type DryRunOptions } from "../shell/dry-run.js";
import { formatMoment } from "../../words/text.js";
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
  const dryRun = isDryRun(options);
  const wanted = number === undefined ? null : parseChange(number);
  await withDataPlane(context, async (dataPlane) => {
    const { findTarget, findWayBack } = await import("../../control/history/roll-back.js");
    const back = findWayBack(dataPlane, wanted);
    if (dryRun) {
      const target = back === null ? null : findTarget(dataPlane, back ?? wanted);
      const before = readRules(dataPlane.active()?.rules ?? noActiveRules);
      const after = readRules(target?.rules ?? noActiveRules);
      const difference = await differenceOf(before, after);
      const timing = stepTimes();
      const most = mostOf(options);
      const json = {
        dryRun: true,
        ...differenceShape(difference, most),
        warnings: [],
        timing,
      } as const;
      await print(
        context,
        published<DryRunJson>()(json),
        () =>
          (target === null
            ? "to no rules\n"
            : `to change ${target.entry.number}, of ${formatMoment(target.entry.time)}\n`) +
          describeDifference(difference, context.colours, most) +
          "dry run: nothing was changed\n" +
          describeTiming(options, timing),
      );
      return;
    }
    // Another change may be made meanwhile: what is meant is this one.
    const to = back === undefined ? findTarget(dataPlane, wanted).entry.number : back;
    const change = back === undefined ? rollbackTo(to) : ({ kind: "back" } as const);
    await report(await context.reach.performChange(dataPlane, change, wait), to);
  });

  async function report(performed: Performed, to: number | null): Promise<void> {
    const timing = stepTimes();
    await print(
      context,
      published<RolledBackJson>()({ ...performed, to, timing }),
      () =>
        `rolled back to ${to === null ? "no rules" : `change ${to}`}\n` +
        describePerformed(performed) +
        describeNames(performed) +
        describeTiming(options, timing),
    );
  }
}

function rollbackTo(to: number | null): RollbackChange {
  return { kind: "rollback", to };
}
