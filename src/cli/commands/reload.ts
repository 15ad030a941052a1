/** `ilm reload`: has the running daemon read its file again, and says what came of it. */
import { IlmError } from "../../errors.js";
import type { ReloadedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { describeNames, describePerformed } from "./apply.js";

/**
 * Returns once the rules of the file are active. Throws DAEMON when no daemon is running, and what
 * the daemon throws when it refuses the file: then the previous rules stay active.
 */
export async function reload(context: Context, options: TimingOptions): Promise<void> {
  recordSteps();
  const daemon = await context.reach.accessDaemon();
  if (daemon === null) {
    throw new IlmError("DAEMON", "no daemon is running in this network namespace", {
      remedy: "`ilm apply -f FILE` activates a file; `ilm run -f FILE` also follows it.",
    });
  }
  const performed = await daemon.change({ kind: "reload" });
  const timing = stepTimes();
  await print(
    context,
    published<ReloadedJson>()({ ...performed, timing }),
    () => describePerformed(performed) + describeNames(performed) + describeTiming(options, timing),
  );
}
