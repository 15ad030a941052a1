/** `ilm add`: adds mappings at run time, beside those of the file. */
import type { Mapping, Origin } from "../../model/mapping.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { describePerformed } from "./apply.js";
import { print, type Context } from "../shell/context.js";
import type { AddedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { warnOfHost } from "../../control/host-warnings.js";
import { printDryRun, type DryRunOptions } from "../shell/dry-run.js";
import { noteWarnings } from "../render/error.js";
import { mappingShape } from "../../api/mapping-shape.js";
import { describeMapping } from "../render/mapping.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";

export interface AddOptions extends WaitOptions, TimingOptions, DryRunOptions {
  /** True when the mapping replaces one of the same name that was added before. */
  readonly replace?: boolean;
}

const runtimeOrigin: Origin = { file: "<runtime>", line: 0, column: 0 };

export async function add(
  context: Context,
  options: AddOptions,
  texts: readonly string[],
): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  const { parseMappingArgument } = await import("../../config/argument.js");
  await withDataPlane(context, async (dataPlane) => {
    const services = dataPlane.active()?.rules.file.services ?? [];
    const given = texts.flatMap((text) => parseMappingArgument(text, services));
    const mappings = given.map((mapping): Mapping => ({ ...mapping, origin: runtimeOrigin }));
    const replace = options.replace === true;
    const change = { kind: "add", mappings, replace } as const;
    const { warnings } = await warnOfHost(given, services);
    if (options.dryRun === true) {
      noteWarnings(context, warnings);
      await printDryRun(context, dataPlane, change, { ...options, warnings });
      return;
    }
    const performed = await context.reach.performChange(dataPlane, change, wait);
    const timing = stepTimes();
    noteWarnings(context, warnings);
    const added = mappings.map((mapping) => mappingShape(mapping, true));
    await print(
      context,
      published<AddedJson>()({ ...performed, added, warnings, timing }),
      () =>
        mappings.map((mapping) => `${mapping.name}: ${describeMapping(mapping)}\n`).join("") +
        describePerformed(performed) +
        describeTiming(options, timing),
    );
  });
}
