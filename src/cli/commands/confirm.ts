/** `ilm confirm`: keeps a change that waits for it, or takes it back. */
import type { Performed } from "../../control/perform.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import type { ConfirmedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";
import { describeNames, describePerformed } from "./apply.js";

export interface ConfirmCommandOptions extends WaitOptions, TimingOptions {
  /** Take the change back at once, instead of keeping it. */
  readonly back?: boolean;
}

/** Throws NOT_FOUND when no change waits, also when it has gone back by now. */
export async function confirm(context: Context, options: ConfirmCommandOptions): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  const change = { kind: options.back === true ? "back" : "confirm" } as const;
  const performed = await withDataPlane(
    context,
    (dataPlane) => context.reach.performChange(dataPlane, change, wait),
    (daemon) => daemon.change(change),
  );
  const { generation: active, difference, mappings, by } = performed;
  const generation = active ?? 0;
  const timing = stepTimes();
  const confirmed = change.kind === "confirm";
  const json = { generation, confirmed, difference, mappings, by, timing };
  await print(context, published<ConfirmedJson>()(json), () => {
    const done = confirmed
      ? `confirmed: generation ${generation} stays active\n`
      : describeTakenBack(performed);
    return done + describeTiming(options, timing);
  });
}

/** Says what taking a change back did. */
export function describeTakenBack(performed: Performed): string {
  return `taken back: ${describePerformed(performed)}${describeNames(performed)}`;
}
