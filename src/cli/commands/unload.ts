/** `ilm unload`: removes every program, map, link, file and address of ilm's. */
import { recordSteps, stepTimes } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import type { UnloadedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { countsOf, listNames } from "../../words/change.js";
import { withDataPlane } from "../shell/with-data-plane.js";

export async function unload(
  context: Context,
  options: WaitOptions & TimingOptions,
): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  const { changed, by, difference } = await withDataPlane(
    context,
    (dataPlane) => context.reach.performChange(dataPlane, { kind: "unload" }, wait),
    (daemon) => daemon.change({ kind: "unload" }),
  );
  const timing = stepTimes();
  const json = published<UnloadedJson>()({ unloaded: changed, difference, by, timing });
  await print(context, json, () => {
    const counts = difference === null ? "" : `, ${countsOf(difference)}`;
    const done = `unloaded${by === "daemon" ? "; the daemon ended with it" : ""}${counts}\n`;
    const names = difference === null ? "" : listNames(difference, 0);
    return (changed ? done + names : "nothing was loaded\n") + describeTiming(options, timing);
  });
}
