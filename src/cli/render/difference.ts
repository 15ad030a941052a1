/** Shows what changes from one set of rules to another, for `ilm diff` and `--dry-run`. */
import type { RuleDiff } from "../../rules/diff.js";
import type { Moves, Way } from "../../rules/moves.js";
import { destinationShape, mappingShape } from "../../api/mapping-shape.js";
import { configurationError } from "../../errors.js";
import type { Mapping } from "../../model/mapping.js";
import type { Rules } from "../../model/rules.js";
import { formatPorts } from "../../model/ports.js";
import type { Colours } from "../shell/context.js";
import { describeDestination, describeMapping } from "./mapping.js";

export interface Difference {
  readonly same: boolean;
  readonly rules: RuleDiff;
  /** The mappings that were added at run time, or would be. */
  readonly runtime: ReadonlySet<Mapping>;
  readonly moves: Moves;
}

/**
 * Returns the difference between two sets of rules. Throws CONFIGURATION when `after` cannot be
 * applied.
 */
export async function differenceOf(before: Rules, after: Rules): Promise<Difference> {
  const { diffRules } = await import("../../rules/diff.js");
  const { findMoves } = await import("../../rules/moves.js");
  const { checkRules } = await import("../../compile/compile.js");
  // The active rules need no second check.
  const isActive = after.file === before.file && after.runtime === before.runtime;
  const problems = isActive ? [] : checkRules(after);
  if (problems.some((problem) => problem.severity === "error")) throw configurationError(problems);
  const rules = diffRules(before, after);
  const same = Object.values(rules).every((part: readonly unknown[]) => part.length === 0);
  const runtime = new Set([...before.runtime, ...after.runtime]);
  return { same, rules, runtime, moves: findMoves(before, after, rules) };
}

export function differenceShape({ same, rules, runtime, moves }: Difference) {
  return { same, ...diffShape(rules, runtime), ...movesShape(moves) };
}

export function describeDifference({ same, rules, moves }: Difference, colours: Colours): string {
  return same ? "unchanged\n" : renderDiff(rules, colours) + renderMoves(moves, colours);
}

function diffShape(difference: RuleDiff, runtime: ReadonlySet<Mapping>) {
  const { added, removed, changed, ...rest } = difference;
  const shapeOf = (mapping: Mapping) => mappingShape(mapping, runtime.has(mapping));
  return {
    added: added.map(shapeOf),
    removed: removed.map(shapeOf),
    changed: changed.map(({ before, after, fields }) => ({
      before: shapeOf(before),
      after: shapeOf(after),
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

/** Renders moves, each as `tcp 443 on 203.0.113.0/24: 127.0.1.10 -> 127.0.1.11`. */
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
