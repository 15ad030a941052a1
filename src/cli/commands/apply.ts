/** `ilm apply`: makes the kernel do what the file says, in one atomic step. */
import {
  describeCounts,
  describeKfuncTrouble,
  describeLost,
  describeMissingInterface,
  describePending,
  describeTakenOver,
  listNames,
} from "../../words/change.js";
import type { Performed } from "../../control/perform.js";
import { activeIfReadable } from "../../control/active.js";
import { refuseLoss, refuseReplacement, replacedOf } from "../../control/replacement.js";
import type { ApplyOptions, DataPlane } from "../../dataplane/types.js";
import type { Problem } from "../../errors.js";
import { recordSteps, stepTimes } from "../../progress.js";
import { print, type Context } from "../shell/context.js";
import type { AppliedJson } from "../../json/change.js";
import { published } from "../../json/published.js";
import { linkedNetworks } from "../../kernel/up-addresses.js";
import { isDryRun, printDryRun, type DryRunOptions } from "../shell/dry-run.js";
import { loadWanted, type SourceOptions } from "../shell/load.js";
import { noteWarnings } from "../render/error.js";
import { describeAdded, describeRemoved } from "../../words/loopback.js";
import { count, indent } from "../../words/text.js";
import { describeTiming, type TimingOptions } from "../shell/timing.js";
import {
  anyipWarnings,
  leftAloneWarnings,
  orphanWarnings,
  type Warning,
} from "../../doctor/warnings.js";
import { bootSeconds } from "../../kernel/boot-time.js";
import { readRules } from "../../model/rules.js";
import { listSources } from "../../model/sources.js";
import { type Orphan, orphansOf } from "../../rules/orphans.js";
import { describeOrphan, hintForOrphan } from "../../words/orphans.js";
import { unreachedWarnings } from "../../doctor/unreached.js";
import { confirmable, noteUnlessPending, type ConfirmOptions } from "../shell/confirm.js";
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
  ConfirmOptions &
  ReplaceOptions &
  Pick<ApplyOptions, "overNewer">;

export async function apply(
  context: Context,
  { overNewer, replace = false, ...options }: ApplyCommandOptions,
  mappings: readonly string[],
): Promise<void> {
  recordSteps();
  const how = { waitSeconds: waitSeconds(options), overNewer };
  const asked = confirmable(options);
  const dryRun = isDryRun(options);
  const mustKeepFile = options.file === undefined && !replace;
  await withDataPlaneAfter(
    context,
    (kept) => loadWanted(options, mappings, kept),
    async (dataPlane, { sources, given, file, warnings, revision, compiled, text }) => {
      const change = { kind: "apply", sources, given, file, ...asked } as const;
      const active = activeIfReadable(dataPlane)?.rules;
      if (mustKeepFile) refuseReplacement(replacedOf(active));
      else if (!replace) refuseLoss(active, file, revision);
      if (dryRun) {
        const runtime = active?.runtime ?? [];
        const orphans = orphansOf({
          runtime,
          services: file.head.services,
          now: bootSeconds(),
        });
        const all = [...warnings, ...orphans.map(problemOf)];
        noteWarnings(context, all);
        await printDryRun(context, dataPlane, change, { ...options, warnings: all });
        return;
      }
      const performed = await context.reach.performChange(dataPlane, change, {
        ...how,
        revision,
        compiled,
      });
      if (text !== null) dataPlane.keepText({ sources, file, runtime: [] }, text);
      const unreached = await unreachedWarnings(dataPlane, {
        listeners: () => dataPlane.listeners(),
        holdersOf: (those) => context.reach.holdersOf(those),
        following: performed.by === "daemon",
      });
      await report(performed, warnings, [...afterwards(dataPlane), ...unreached]);
    },
    async (daemon, denied, { sources, given, file, warnings }) => {
      if (dryRun) throw denied;
      if (mustKeepFile) {
        const { sources: active, mappings: all, runtimeMappings } = await daemon.state();
        const fileMappings = all - runtimeMappings;
        refuseReplacement({ sources: active, fileMappings });
      }
      await report(
        await daemon.change({ kind: "apply", sources, given, file, ...asked }),
        warnings,
        [],
      );
    },
  );

  async function report(
    performed: Performed,
    warnings: readonly Problem[],
    unreached: readonly Warning[],
  ): Promise<void> {
    const timing = stepTimes();
    noteWarnings(context, warnings);
    noteUnlessPending(context, asked, performed);
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

/**
 * Warns of mappings that lead to drained destinations only, and of run-time mappings to a service
 * that is gone, as what is drained and what was added outlast a file; and of prefixes that are not
 * the host's alone.
 */
function afterwards(dataPlane: DataPlane): readonly Warning[] {
  const rules = dataPlane.active()?.rules;
  if (rules === undefined) return [];
  const leftAlone = (rules.drained ?? []).length > 0 ? leftAloneWarnings(readRules(rules)) : [];
  const { runtime, file } = rules;
  const orphans = orphanWarnings(runtime, file.head.services);
  return [...leftAlone, ...orphans, ...anyipWarnings(rules.file.head.anyip, linkedNetworks())];
}

function problemOf(orphan: Orphan): Problem {
  return {
    severity: "warning",
    ...RUNTIME,
    path: "",
    message: describeOrphan(orphan),
    hint: hintForOrphan(orphan),
  };
}

const RUNTIME = { file: "<runtime>", line: 0, column: 0 };

/** Lists the names that were added, removed and changed; empty when there were no rules before. */
export function describeNames({ difference, mappings }: Performed): string {
  return difference === null ? "" : listNames(difference, mappings);
}

/** Says in words what a change did. */
export function describePerformed(performed: Performed): string {
  const { generation, changed, mappings, addressesAdded, addressesRemoved, by } = performed;
  const {
    difference,
    interfacesMissing,
    kfuncTrouble,
    repaired,
    off,
    takenOverFormat,
    lost,
    pending,
    follows,
  } = performed;
  const lines = [
    changed
      ? `generation ${generation ?? 0} is active: ${describeCounts(mappings, difference)}${by === "daemon" ? ", activated by the daemon" : ""}`
      : `unchanged: generation ${generation ?? 0} is active with ${count(mappings, "mapping")}`,
    ...(pending === null ? [] : [`it ${describePending(pending)}`]),
    ...(takenOverFormat === null ? [] : [describeTakenOver(takenOverFormat)]),
    ...(lost === null ? [] : [`warning: ${describeLost(lost)}`]),
    ...(follows === null ? [] : [describeFollows(follows)]),
    ...repaired.map((name) => `${name} had been detached, and is attached again`),
    ...addressesAdded.map(describeAdded),
    ...addressesRemoved.map(describeRemoved),
    ...(off ? ["warning: ilm is off: mappings have no effect until `ilm on`"] : []),
    ...interfacesMissing.map((name) => `warning: ${describeMissingInterface(name)}`),
    ...(kfuncTrouble === null ? [] : [`warning: ${describeKfuncTrouble(kfuncTrouble)}`]),
  ];
  return `${lines.join("\n")}\n`;
}

/** Says what the daemon follows from now on. */
function describeFollows(paths: readonly string[]): string {
  return paths.length === 0
    ? "the daemon follows no file any more"
    : `the daemon follows ${listSources(paths)} from now on`;
}
