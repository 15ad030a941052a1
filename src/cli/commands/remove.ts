/** `ilm remove`: removes what `ilm add` added. */
import { recordSteps, stepTimes } from "../../progress.js";
import { describePerformed } from "./apply.js";
import { print, type Context } from "../shell/context.js";
import type { RemovedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { printDryRun, type DryRunOptions } from "../shell/dry-run.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";

export type RemoveOptions = WaitOptions & TimingOptions & DryRunOptions;

/** Removes mappings. Each text is a mapping's name, or the very text that it was added with. */
export async function remove(
  context: Context,
  options: RemoveOptions,
  texts: readonly string[],
): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  await withDataPlane(context, async (dataPlane) => {
    const rules = dataPlane.active()?.rules;
    const known = new Set(rules?.runtime.map((mapping) => mapping.name));
    const names: string[] = [];
    for (const text of texts) {
      if (known.has(text) || !text.includes("=")) {
        names.push(text);
        continue;
      }
      const { parseMappingArgument } = await import("../../config/argument.js");
      const mappings = parseMappingArgument(text, rules?.file.services ?? []);
      names.push(...new Set(mappings.map((mapping) => mapping.name)));
    }
    const change = { kind: "remove", names } as const;
    if (options.dryRun === true) {
      await printDryRun(context, dataPlane, change, options);
      return;
    }
    const performed = await context.reach.performChange(dataPlane, change, wait);
    const timing = stepTimes();
    await print(
      context,
      published<RemovedJson>()({ ...performed, removed: names, timing }),
      () => describePerformed(performed) + describeTiming(options, timing),
    );
  });
}
