/** `ilm diff`: what `apply` would change. */
import type { RuleDiff } from "../compile/diff.js";
import type { Moves, Way } from "../compile/moves.js";
import { rulesAfter } from "../daemon/changes.js";
import { configurationError, ExitStatus } from "../errors.js";
import { emptyRules } from "../model/mapping.js";
import { print, type Colours, type Context } from "./context.js";
import { loadWanted, type SourceOptions } from "./load.js";
import { noteWarnings } from "./render/error.js";
import { formatPorts } from "../model/ports.js";
import {
  describeDestination,
  describeMapping,
  destinationShape,
  mappingShape,
} from "./render/mapping.js";
import { withDataPlane } from "./with-data-plane.js";

/** As diff(1): 0 when there is nothing to change, 1 when there is. */
export async function diff(
  context: Context,
  options: SourceOptions,
  mappings: readonly string[],
): Promise<ExitStatus> {
  const desired = await loadWanted(options, mappings);
  const { diffRules } = await import("../compile/diff.js");
  const { findMoves } = await import("../compile/moves.js");
  const { checkRules } = await import("../compile/compile.js");
  const before = await withDataPlane((dataPlane) => dataPlane.inForce()?.rules ?? emptyRules);
  const after = rulesAfter(before, { kind: "apply", ...desired });
  const problems = checkRules(after);
  if (problems.some((problem) => problem.severity === "error")) throw configurationError(problems);
  const difference = diffRules(before, after);
  const same = isEmpty(difference);
  const found = findMoves(before, after, difference);
  noteWarnings(context, desired.warnings);
  await print(context, { same, ...diffShape(difference), ...movesShape(found) }, () =>
    same
      ? "unchanged\n"
      : renderDiff(difference, context.colours) + renderMoves(found, context.colours),
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

function movesShape({ moves, more }: Moves) {
  return {
    moves: moves.map(({ protocol, ports, on, before, after }) => ({
      protocol,
      port: formatPorts([ports]),
      on,
      before: before.map(wayShape),
      after: after.map(wayShape),
    })),
    moreMoves: more,
  };
}

function wayShape({ from, interfaces, to }: Way) {
  return { from, interface: interfaces, to: to.map(destinationShape) };
}

/** `tcp 443 on 203.0.113.0/24: 127.0.1.10 -> 127.0.1.11`. */
function renderMoves({ moves, more }: Moves, colours: Colours): string {
  if (moves.length === 0) return "";
  const lines = moves.map(
    ({ protocol, ports, on, before, after }) =>
      `  ${protocol} ${formatPorts([ports])} on ${describePlace(on)}: ${describeWays(before)} ${colours.bold("->")} ${describeWays(after)}`,
  );
  return `${colours.bold("connections that go elsewhere")}\n${lines.join("\n")}\n${more ? "  and perhaps more: the change is too large to follow each\n" : ""}`;
}

function describePlace(on: string): string {
  if (!on.endsWith("/0")) return on;
  return on.includes(":") ? "all other IPv6 addresses" : "all other IPv4 addresses";
}

function describeWays(ways: readonly Way[]): string {
  const words = ways.map(({ from, interfaces, to }) => {
    const conditions = [
      ...(from.length === 0 ? [] : [`from ${from.join(", ")}`]),
      ...(interfaces.length === 0 ? [] : [`by ${interfaces.join(", ")}`]),
    ];
    const target = to.map(describeDestination).join(", ");
    return conditions.length === 0 ? target : `${conditions.join(" ")}: ${target}`;
  });
  const [last] = ways.slice(-1);
  const open = last === undefined || last.from.length > 0 || last.interfaces.length > 0;
  return [...words, ...(open ? ["not mapped"] : [])].join("; else ");
}

function renderDiff(difference: RuleDiff, colours: Colours): string {
  const { settings, added, removed, changed, servicesAdded, servicesRemoved } = difference;
  const lines = [
    ...settings.map(({ name, before, after }) =>
      colours.yellow(`~ ${name}: ${before} ${colours.bold("->")} ${after}`),
    ),
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
