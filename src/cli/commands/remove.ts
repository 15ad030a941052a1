/** `ilm remove`: removes what `ilm add` added. */
import type { DaemonAccess } from "../../control/over-api.js";
import type { Performed } from "../../control/perform.js";
import type { DataPlane } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import type { Service } from "../../model/mapping.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { describeNames, describePerformed } from "./apply.js";
import { print, type Context } from "../shell/context.js";
import type { RemovedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { isDryRun, printDryRun, type DryRunOptions } from "../shell/dry-run.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import { confirmable, noteUnlessPending, type ConfirmOptions } from "../shell/confirm.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlane } from "../shell/with-data-plane.js";

export type RemoveOptions = WaitOptions & TimingOptions & DryRunOptions & ConfirmOptions;

/** Removes mappings. Each text is a mapping's name, or the very text that it was added with. */
export async function remove(
  context: Context,
  options: RemoveOptions,
  texts: readonly string[],
): Promise<void> {
  recordSteps();
  const wait = { waitSeconds: waitSeconds(options) };
  const asked = confirmable(options);
  const dryRun = isDryRun(options);
  const here = async (dataPlane: DataPlane): Promise<void> => {
    const rules = dataPlane.active()?.rules;
    const known = new Set(rules?.runtime.map((mapping) => mapping.name));
    const names: string[] = [];
    for (const text of texts) {
      if (known.has(text) || !text.includes("=")) {
        names.push(text);
        continue;
      }
      names.push(...(await namesOf(text, rules?.file.head.services ?? [])));
    }
    const change = { kind: "remove", names, ...asked } as const;
    if (dryRun) {
      await printDryRun(context, dataPlane, change, options);
      return;
    }
    await report(await context.reach.performChange(dataPlane, change, wait), names);
  };
  const byDaemon = async (daemon: DaemonAccess, denied: IlmError): Promise<void> => {
    if (dryRun) throw denied;
    const names: string[] = [];
    for (const text of texts) {
      if (!text.includes("=") || (await isActive(daemon, text))) names.push(text);
      else names.push(...(await namesOf(text, await daemon.services())));
    }
    await report(await daemon.change({ kind: "remove", names, ...asked }), names);
  };
  await withDataPlane(context, here, byDaemon);

  async function report(performed: Performed, names: readonly string[]): Promise<void> {
    const timing = stepTimes();
    noteUnlessPending(context, asked, performed);
    await print(
      context,
      published<RemovedJson>()({ ...performed, removed: names, timing }),
      () =>
        describePerformed(performed) + describeNames(performed) + describeTiming(options, timing),
    );
  }
}

/** Returns the names of the mappings that a text adds. */
async function namesOf(text: string, services: readonly Service[]): Promise<Iterable<string>> {
  const { parseMappingArgument } = await import("../../config/argument.js");
  return new Set(parseMappingArgument(text, services).map((mapping) => mapping.name));
}

async function isActive(daemon: DaemonAccess, name: string): Promise<boolean> {
  try {
    return (await daemon.mappings(new URLSearchParams({ name }))).total > 0;
  } catch (error) {
    if (error instanceof IlmError && error.code === "NOT_FOUND") return false;
    throw error;
  }
}
