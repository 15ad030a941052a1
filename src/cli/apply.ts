/** `ilm apply`: makes the kernel do what the file says, in one atomic step. */
import {
  describeKfuncTrouble,
  describeLost,
  describeMissingInterface,
  describeTakenOver,
} from "../daemon/changes.js";
import { performChange, type Performed } from "../daemon/perform.js";
import type { ApplyOptions } from "../dataplane/types.js";
import { recordSteps, stepTimes } from "../progress.js";
import { print, type Context } from "./context.js";
import { printDryRun, type DryRunOptions } from "./dry-run.js";
import { loadWanted, type SourceOptions } from "./load.js";
import { noteWarnings } from "./render/error.js";
import { count, indent } from "./render/text.js";
import { describeTiming, type TimingOptions } from "./timing.js";
import { unreachedWarnings } from "./unreached.js";
import { waitSeconds, type WaitOptions } from "./wait.js";
import { withDataPlaneAfter } from "./with-data-plane.js";

export type ApplyCommandOptions = SourceOptions &
  WaitOptions &
  TimingOptions &
  DryRunOptions &
  ApplyOptions;

export async function apply(
  context: Context,
  { overNewer, ...options }: ApplyCommandOptions,
  mappings: readonly string[],
): Promise<void> {
  recordSteps();
  const how = { waitSeconds: waitSeconds(options), overNewer };
  await withDataPlaneAfter(
    (kept) => loadWanted(options, mappings, kept),
    async (dataPlane, { source, given, file, warnings, revision, text }) => {
      const change = { kind: "apply", source, given, file } as const;
      if (options.dryRun === true) {
        noteWarnings(context, warnings);
        await printDryRun(context, dataPlane, change, { ...options, warnings });
        return;
      }
      const performed = await performChange(dataPlane, change, { ...how, revision });
      if (text !== null) dataPlane.keepText({ source, file, runtime: [] }, text);
      const unreached = await unreachedWarnings(
        dataPlane,
        () => dataPlane.listeners(),
        performed.by === "daemon",
      );
      const timing = stepTimes();
      noteWarnings(context, warnings);
      await print(
        context,
        { ...performed, warnings, unreached, timing },
        () =>
          describePerformed(performed) +
          unreached
            .map(({ message, remedy }) => `warning: ${message}\n${indent(`${remedy}\n`)}`)
            .join("") +
          describeTiming(options, timing),
      );
    },
  );
}

/** What a change did, for people. */
export function describePerformed(performed: Performed): string {
  const { generation, changed, mappings, addressesAdded, addressesRemoved, by } = performed;
  const { interfacesMissing, kfuncTrouble, repaired, off, takenOverFormat, lost } = performed;
  const lines = [
    changed
      ? `generation ${generation ?? 0} is in force: ${count(mappings, "mapping")}${by === "daemon" ? ", put in force by the daemon" : ""}`
      : `unchanged: generation ${generation ?? 0} is in force with ${count(mappings, "mapping")}`,
    ...(takenOverFormat === null ? [] : [describeTakenOver(takenOverFormat)]),
    ...(lost === null ? [] : [`warning: ${describeLost(lost)}`]),
    ...repaired.map((name) => `${name} was not attached any more, and is again`),
    ...addressesAdded.map((address) => `${address} was added to lo`),
    ...addressesRemoved.map((address) => `${address} was removed from lo`),
    ...(off ? ["warning: ilm is off: nothing is decided until `ilm on`"] : []),
    ...interfacesMissing.map((name) => `warning: ${describeMissingInterface(name)}`),
    ...(kfuncTrouble === null ? [] : [`warning: ${describeKfuncTrouble(kfuncTrouble)}`]),
  ];
  return `${lines.join("\n")}\n`;
}
