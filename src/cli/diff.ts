/** `ilm diff`: what `apply` would change. */
import type { RuleDiff } from "../compile/diff.js";
import { rulesAfter } from "../daemon/changes.js";
import { configurationError, ExitStatus } from "../errors.js";
import { emptyRules } from "../model/mapping.js";
import { print, type Colours, type Context } from "./context.js";
import { loadWanted, type SourceOptions } from "./load.js";
import { noteWarnings } from "./render/error.js";
import { describeMapping, mappingShape } from "./render/mapping.js";
import { withDataPlane } from "./with-data-plane.js";

/** As diff(1): 0 when there is nothing to change, 1 when there is. */
export async function diff(
  context: Context,
  options: SourceOptions,
  mappings: readonly string[],
): Promise<ExitStatus> {
  const desired = await loadWanted(options, mappings);
  const { diffRules } = await import("../compile/diff.js");
  const { checkRules } = await import("../compile/compile.js");
  const before = await withDataPlane((dataPlane) => dataPlane.inForce()?.rules ?? emptyRules);
  const after = rulesAfter(before, { kind: "apply", ...desired });
  const problems = checkRules(after);
  if (problems.some((problem) => problem.severity === "error")) throw configurationError(problems);
  const difference = diffRules(before, after);
  const same = isEmpty(difference);
  noteWarnings(context, desired.warnings);
  print(context, { same, ...diffShape(difference) }, () =>
    same ? "unchanged\n" : renderDiff(difference, context.colours),
  );
  return same ? ExitStatus.done : ExitStatus.failed;
}

function isEmpty(difference: RuleDiff): boolean {
  return Object.values(difference).every((part: readonly unknown[]) => part.length === 0);
}

function diffShape(difference: RuleDiff) {
  const { added, removed, changed, ...rest } = difference;
  return {
    added: added.map((mapping) => mappingShape(mapping, false)),
    removed: removed.map((mapping) => mappingShape(mapping, false)),
    changed: changed.map(({ before, after, fields }) => ({
      before: mappingShape(before, false),
      after: mappingShape(after, false),
      fields,
    })),
    ...rest,
  };
}

function renderDiff(difference: RuleDiff, colours: Colours): string {
  const { added, removed, changed, servicesAdded, servicesRemoved } = difference;
  const lines = [
    ...servicesRemoved.map(({ name, addresses }) =>
      colours.red(`- service ${name}: ${addresses.join(", ")}`),
    ),
    ...servicesAdded.map(({ name, addresses }) =>
      colours.green(`+ service ${name}: ${addresses.join(", ")}`),
    ),
    ...removed.map((one) => colours.red(`- ${one.name}: ${describeMapping(one)}`)),
    ...changed.flatMap(({ before, after, fields }) => [
      colours.yellow(`~ ${after.name} (${fields.join(", ")})`),
      colours.red(`    - ${describeMapping(before)}`),
      colours.green(`    + ${describeMapping(after)}`),
    ]),
    ...added.map((one) => colours.green(`+ ${one.name}: ${describeMapping(one)}`)),
    ...difference.addressesRemoved.map((address) => colours.red(`- address ${address}`)),
    ...difference.addressesAdded.map((address) => colours.green(`+ address ${address}`)),
  ];
  return `${lines.join("\n")}\n`;
}
