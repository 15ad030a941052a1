/** Shows what changes from one set of rules to another, for `ilm diff` and `--dry-run`. */
import type { DiffCounts } from "../../json/diff.js";
import type { RuleDiff } from "../../rules/diff.js";
import type { Moves, Way } from "../../rules/moves.js";
import { destinationShape, mappingShape } from "../../api/mapping-shape.js";
import { configurationError } from "../../errors.js";
import { type Prefix, familyOf } from "../../model/address.js";
import type { Mapping } from "../../model/mapping.js";
import type { Rules } from "../../model/rules.js";
import { formatPorts } from "../../model/ports.js";
import { DRAIN_WORDS } from "../../words/change.js";
import { count } from "../../words/text.js";
import type { Colours } from "../shell/context.js";
import { describeDestinations, describeMapping, describeService } from "./mapping.js";

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

/** `most`: how much of each kind is shown. The counts are of all. */
export function differenceShape(difference: Difference, most = Infinity) {
  const { same, runtime, moves } = difference;
  const { rules, moves: shown } = firstOf(difference, most);
  const { more } = moves;
  return {
    same,
    counts: countsOf(difference),
    ...diffShape(rules, runtime),
    ...movesShape({ moves: shown, more }),
  };
}

/** `most`: how much of each kind is shown; 0 for a summary in one line. */
export function describeDifference(
  difference: Difference,
  colours: Colours,
  most = Infinity,
): string {
  const { same, moves } = difference;
  if (same) return "unchanged\n";
  const counts = countsOf(difference);
  if (most === 0) return `${describeCounts(counts, moves.more)}\n`;
  const { rules, moves: shown } = firstOf(difference, most);
  return (
    renderDiff(rules, colours) +
    renderMoves({ moves: shown, more: moves.more }, colours) +
    describeRest(counts, most) +
    `${describeCounts(counts, moves.more)}\n`
  );
}

/** Each list, up to its first `most`. */
function firstOf({ rules, moves }: Difference, most: number) {
  const { settings, added, removed, changed, ...rest } = rules;
  const { servicesAdded, servicesRemoved, addressesAdded, addressesRemoved, ...others } = rest;
  const { drained, undrained, ...more } = others;
  more satisfies Record<string, never>;
  const first = <T>(list: readonly T[]): readonly T[] => list.slice(0, most);
  return {
    rules: {
      settings: first(settings),
      added: first(added),
      removed: first(removed),
      changed: first(changed),
      drained: first(drained),
      undrained: first(undrained),
      servicesAdded: first(servicesAdded),
      servicesRemoved: first(servicesRemoved),
      addressesAdded: first(addressesAdded),
      addressesRemoved: first(addressesRemoved),
    },
    moves: first(moves.moves),
  };
}

function countsOf({ rules, moves }: Difference): DiffCounts {
  return {
    added: rules.added.length,
    removed: rules.removed.length,
    changed: rules.changed.length,
    drained: rules.drained.length,
    undrained: rules.undrained.length,
    settings: rules.settings.length,
    servicesAdded: rules.servicesAdded.length,
    servicesRemoved: rules.servicesRemoved.length,
    addressesAdded: rules.addressesAdded.length,
    addressesRemoved: rules.addressesRemoved.length,
    moves: moves.moves.length,
  };
}

/** Describes how much differs, as `+1 -5 ~0 mappings, +1 -0 services, 2 moves`. */
function describeCounts(counts: DiffCounts, more: boolean): string {
  const pair = (added: number, removed: number, what: string): string[] =>
    added + removed === 0 ? [] : [`+${added} -${removed} ${what}`];
  return [
    `+${counts.added} -${counts.removed} ~${counts.changed} mappings`,
    ...pair(counts.servicesAdded, counts.servicesRemoved, "services"),
    ...pair(counts.addressesAdded, counts.addressesRemoved, "addresses"),
    ...(counts.drained === 0 ? [] : [`${counts.drained} drained`]),
    ...(counts.undrained === 0 ? [] : [`${counts.undrained} undrained`]),
    ...(counts.settings === 0 ? [] : [`~${counts.settings} settings`]),
    ...(counts.moves === 0
      ? []
      : [`${more ? "at least " : ""}${count(counts.moves, "connection")} elsewhere`]),
  ].join(", ");
}

const kindWords: Readonly<Record<keyof DiffCounts, string>> = {
  settings: "settings",
  servicesRemoved: "services removed",
  servicesAdded: "services added",
  removed: "mappings removed",
  changed: "mappings changed",
  added: "mappings added",
  undrained: "destinations undrained",
  drained: "destinations drained",
  addressesRemoved: "addresses removed",
  addressesAdded: "addresses added",
  moves: "connections that go elsewhere",
};

/** Says how much is not shown. */
function describeRest(counts: DiffCounts, most: number): string {
  const rest = (Object.keys(kindWords) as (keyof DiffCounts)[]).flatMap((kind) =>
    counts[kind] > most ? [`${counts[kind] - most} more ${kindWords[kind]}`] : [],
  );
  return rest.length === 0 ? "" : `and ${rest.join(", ")}: shown with a higher --limit\n`;
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

function wayShape({ from, interfaces, to, unserved }: Way) {
  return { from, interface: interfaces, to: to.map(destinationShape), unserved };
}

/** Renders moves, each as `tcp 443 on 203.0.113.0/24: 127.0.1.10 -> 127.0.1.11`. */
function renderMoves({ moves, more }: Moves, colours: Colours): string {
  if (moves.length === 0) return "";
  const lines = moves.map(
    ({ protocol, ports, on, isRest, before, after }) =>
      `  ${protocol} ${formatPorts([ports])} on ${describePlace(on, isRest)}: ${describeWays(before, on)} ${colours.bold("->")} ${describeWays(after, on)}`,
  );
  return `${colours.bold("connections that go elsewhere")}\n${lines.join("\n")}\n${more ? "  and perhaps more: the change is too large to follow each\n" : ""}`;
}

function describePlace(on: Prefix, isRest: boolean): string {
  return on.endsWith("/0") ? `all ${isRest ? "other " : ""}IPv${familyOf(on)} addresses` : on;
}

function describeWays(ways: readonly Way[], on: Prefix): string {
  const words = ways.map(({ from, interfaces, to, unserved }) => {
    const conditions = [
      ...(from.length === 0 ? [] : [`from ${from.join(", ")}`]),
      ...(interfaces.length === 0 ? [] : [`by ${interfaces.join(", ")}`]),
    ];
    const target =
      unserved === null
        ? describeDestinations(to)
        : `${unserved} (no destination takes IPv${familyOf(on)})`;
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
    ...servicesRemoved.map((one) => colours.red(`- service ${describeService(one)}`)),
    ...servicesAdded.map((one) => colours.green(`+ service ${describeService(one)}`)),
    ...removed.map((one) => colours.red(`- ${one.name}: ${describeMapping(one)}`)),
    ...changed.flatMap(({ before, after, fields }) => [
      colours.yellow(`~ ${after.name} (${fields.join(", ")})`),
      colours.red(`    - ${describeMapping(before)}`),
      colours.green(`    + ${describeMapping(after)}`),
    ]),
    ...added.map((one) => colours.green(`+ ${one.name}: ${describeMapping(one)}`)),
    ...drainLines(difference, colours),
    ...difference.addressesRemoved.map((address) => colours.red(`- address ${address}`)),
    ...difference.addressesAdded.map((address) => colours.green(`+ address ${address}`)),
  ];
  return `${lines.join("\n")}\n`;
}

/** Says which destinations are drained from now on, and which are no more. */
function drainLines(
  {
    drained,
    undrained,
  }: { readonly drained: readonly string[]; readonly undrained: readonly string[] },
  colours: Colours,
): string[] {
  return [
    ...undrained.map((one) => colours.yellow(`~ ${one} ${DRAIN_WORDS.undrain} (undrain)`)),
    ...drained.map((one) => colours.yellow(`~ ${one} ${DRAIN_WORDS.drain} (drain)`)),
  ];
}
