/** `ilm apply`: makes the kernel do what the file says, in one atomic step. */
import {
  describeKfuncTrouble,
  describeLost,
  describeMissingInterface,
  describeTakenOver,
} from "../../words/change.js";
import type { Performed } from "../../control/perform.js";
import { activeIfReadable } from "../../control/active.js";
import { refuseReplacement, replacedOf } from "../../control/replacement.js";
import type { ApplyOptions } from "../../dataplane/types.js";
import type { Problem } from "../../errors.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import type { AppliedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { printDryRun, type DryRunOptions } from "../shell/dry-run.js";
import { loadWanted, type SourceOptions } from "../shell/load.js";
import { noteWarnings } from "../render/error.js";
import type { ChangeSummary, NamedMappings } from "../../rules/summary.js";
import { count, indent, printable } from "../../words/text.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import type { Warning } from "../../doctor/warnings.js";
import { unreachedWarnings } from "../../doctor/unreached.js";
import { waitSeconds, type WaitOptions } from "../shell/wait.js";
import { withDataPlaneAfter } from "../shell/with-data-plane.js";

export interface ReplaceOptions {
  /** Mappings without a file may take the place of a file's. */
  readonly replace?: boolean;
}

export type ApplyCommandOptions = SourceOptions &
  WaitOptions &
  TimingOptions &
  DryRunOptions &
  ReplaceOptions &
  ApplyOptions;

export async function apply(
  context: Context,
  { overNewer, replace = false, ...options }: ApplyCommandOptions,
  mappings: readonly string[],
): Promise<void> {
  recordSteps();
  const how = { waitSeconds: waitSeconds(options), overNewer };
  const mustKeepFile = options.file === undefined && !replace;
  await withDataPlaneAfter(
    context,
    (kept) => loadWanted(options, mappings, kept),
    async (dataPlane, { source, given, file, warnings, revision, compiled, text }) => {
      const change = { kind: "apply", source, given, file } as const;
      if (mustKeepFile) refuseReplacement(replacedOf(activeIfReadable(dataPlane)?.rules));
      if (options.dryRun === true) {
        noteWarnings(context, warnings);
        await printDryRun(context, dataPlane, change, { ...options, warnings });
        return;
      }
      const performed = await context.reach.performChange(dataPlane, change, {
        ...how,
        revision,
        compiled,
      });
      if (text !== null) dataPlane.keepText({ source, file, runtime: [] }, text);
      const unreached = await unreachedWarnings(dataPlane, {
        listeners: () => dataPlane.listeners(),
        holdersOf: (those) => context.reach.holdersOf(those),
        following: performed.by === "daemon",
      });
      await report(performed, warnings, unreached);
    },
    async (daemon, denied, { source, given, file, warnings }) => {
      if (options.dryRun === true) throw denied;
      if (mustKeepFile) {
        const { source: active, mappings: all, runtimeMappings } = await daemon.state();
        const fileMappings = all - runtimeMappings;
        refuseReplacement({ source: active, fileMappings });
      }
      await report(await daemon.change({ kind: "apply", source, given, file }), warnings, []);
    },
  );

  async function report(
    performed: Performed,
    warnings: readonly Problem[],
    unreached: readonly Warning[],
  ): Promise<void> {
    const timing = stepTimes();
    noteWarnings(context, warnings);
    await print(
      context,
      published<AppliedJson>()({ ...performed, warnings, unreached, timing }),
      () =>
        describePerformed(performed) +
        describeNames(performed) +
        unreached
          .map(({ message, remedy }) => `warning: ${message}\n${indent(`${remedy}\n`)}`)
          .join("") +
        describeTiming(options, timing),
    );
  }
}

/** The number of names shown of each kind. */
const SHOWN = 10;

/** Lists the names that were added, removed and changed; empty when there were no rules before. */
export function describeNames({ difference, mappings }: Performed): string {
  if (difference === null || !isBeside(difference, mappings)) return "";
  const { added, removed, changed } = difference;
  const lines = (sign: string, { count: all, names }: NamedMappings): string[] => [
    ...names.slice(0, SHOWN).map((name) => `  ${sign} ${printable(name)}`),
    ...(all > SHOWN ? [`  ${sign} and ${all - SHOWN} more`] : []),
  ];
  const all = [...lines("+", added), ...lines("-", removed), ...lines("~", changed)];
  return all.map((line) => `${line}\n`).join("");
}

/** Reports whether the change is more than adding all of the mappings to nothing. */
function isBeside({ added, removed, changed }: ChangeSummary, mappings: number): boolean {
  return added.count < mappings || removed.count > 0 || changed.count > 0;
}

/** Formats how many mappings were added, removed and changed, as `, +1 -2 ~3`. */
function describeCounts({ difference, mappings }: Performed): string {
  if (difference === null || !isBeside(difference, mappings)) return "";
  const { added, removed, changed } = difference;
  return `, +${added.count} -${removed.count} ~${changed.count}`;
}

/** Says in words what a change did. */
export function describePerformed(performed: Performed): string {
  const { generation, changed, mappings, addressesAdded, addressesRemoved, by } = performed;
  const { interfacesMissing, kfuncTrouble, repaired, off, takenOverFormat, lost } = performed;
  const lines = [
    changed
      ? `generation ${generation ?? 0} is active: ${count(mappings, "mapping")}${describeCounts(performed)}${by === "daemon" ? ", activated by the daemon" : ""}`
      : `unchanged: generation ${generation ?? 0} is active with ${count(mappings, "mapping")}`,
    ...(takenOverFormat === null ? [] : [describeTakenOver(takenOverFormat)]),
    ...(lost === null ? [] : [`warning: ${describeLost(lost)}`]),
    ...repaired.map((name) => `${name} had been detached, and is attached again`),
    ...addressesAdded.map((address) => `${address} was added to lo`),
    ...addressesRemoved.map((address) => `${address} was removed from lo`),
    ...(off ? ["warning: ilm is off: mappings have no effect until `ilm on`"] : []),
    ...interfacesMissing.map((name) => `warning: ${describeMissingInterface(name)}`),
    ...(kfuncTrouble === null ? [] : [`warning: ${describeKfuncTrouble(kfuncTrouble)}`]),
  ];
  return `${lines.join("\n")}\n`;
}
