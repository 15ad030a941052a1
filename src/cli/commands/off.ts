/** `ilm off`: makes the active rules decide nothing, until `ilm on` (on.ts). */
import { recordSteps, stepTimes } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import type { SwitchedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";

export async function off(context: Context, options: WaitOptions & TimingOptions): Promise<void> {
  await switchTo(context, "off", options);
}

export async function switchTo(
  context: Context,
  to: "off" | "on",
  options: WaitOptions & TimingOptions,
): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  const { changed, generation, by } = await withDataPlane(
    context,
    (dataPlane) => context.reach.performChange(dataPlane, { kind: to }, wait),
    (daemon) => daemon.change({ kind: to }),
  );
  const timing = stepTimes();
  const json = published<SwitchedJson>()({ off: to === "off", changed, generation, by, timing });
  await print(context, json, () => {
    const done =
      to === "off"
        ? "off: mappings have no effect until `ilm on`; established connections continue\n"
        : `on: generation ${generation ?? 0} decides again\n`;
    return (changed ? done : `ilm is already ${to}\n`) + describeTiming(options, timing);
  });
}
