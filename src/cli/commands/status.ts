/** `ilm status`: reports whether rules are loaded, since when, and any warnings. */
import { stateOf } from "../../daemon/state.js";
import type { Active, DataPlane } from "../../dataplane/types.js";
import { ExitStatus, IlmError } from "../../errors.js";
import { describeLockHolder } from "../../kernel/lock-holder.js";
import { circumstancesOf } from "../../doctor/circumstances.js";
import { print, type Context } from "../shell/context.js";
import type { StatusJson } from "../../json/status.js";
import { published } from "../../json/published.js";
import { describeOthers, gist, groupAlike, mergeSame } from "../../words/alike.js";
import { describeQueue } from "../../words/queue.js";
import { wrap } from "../render/table.js";
import { describeDegraded, describeGaps } from "../../daemon/describe-faults.js";
import { describeUnserved } from "../../daemon/describe-unserved.js";
import { count, formatAge, formatMoment, indent, namesShown, printable } from "../../words/text.js";
import { nameAmong } from "../../words/mapping-name.js";
import { describePending, describeWentBack } from "../../words/change.js";
import {
  findWarnings,
  lookupDetached,
  refusedReload,
  type Warning,
} from "../../doctor/warnings.js";
import { unreachedWarnings } from "../../doctor/unreached.js";
import { withDataPlane } from "../shell/with-data-plane.js";
import { isDaemon, unreachableWarning, type AskedDaemon } from "../../doctor/writer.js";
import { areSameSources, listSources } from "../../model/sources.js";
import { describeRollback } from "../../words/change.js";

export interface StatusOptions {
  /** Return status 1 unless all is well. */
  readonly check?: boolean;
}

/**
 * Prints the state. Returns status 0 also when nothing is loaded, because that is an answer, except
 * with `check`.
 */
export async function status(context: Context, { check }: StatusOptions = {}): Promise<ExitStatus> {
  const found = await withDataPlane(
    context,
    (dataPlane) => statusHere(context, dataPlane),
    async (daemon) => {
      const state = await daemon.state();
      const answered = await daemon.status();
      const shape: StatusJson = {
        ...state,
        daemon: answered,
        writer: null,
        warnings: refusedReload(answered, state.copiedAt),
        notes: ["the daemon was asked; `ilm status` as root also looks at the host, and may warn"],
      };
      return shape;
    },
  );
  await print(context, published<StatusJson>()(found), () => render(context, found));
  return check !== true || isWell(found) ? ExitStatus.done : ExitStatus.failed;
}

/**
 * Reports whether rules decide, each mapping serves each family by a listener that does not hang,
 * and there is no warning. Degraded mappings serve.
 */
function isWell({ loaded, off, warnings, ...status }: StatusJson): boolean {
  const { unserved, drainedMappings, gaps, full } = status;
  const faults = [unserved, drainedMappings, gaps, full];
  const areNone = faults.every((fault) => (fault?.count ?? 0) === 0);
  return loaded && !off && areNone && warnings.length === 0;
}

async function statusHere(context: Context, dataPlane: DataPlane): Promise<StatusJson> {
  const active = dataPlane.active();
  // Listeners matter only to rules, and listing them would first have to load the lister.
  const listeners = active === null ? [] : dataPlane.listeners();
  const asked = await askDaemon(context, dataPlane.netnsInode);
  const { daemon, trouble, writer } = asked;
  const circumstances = await circumstancesOf(dataPlane, active, listeners, daemon);
  const { rules, judge } = circumstances;
  const state = stateOf(dataPlane, { active, rules, judge, listeners });
  const found = findWarnings({ ...circumstances, copiedAt: state.copiedAt });
  const unreached = await unreachedWarnings(dataPlane, {
    listeners: () => listeners,
    holdersOf: (those) => context.reach.holdersOf(those),
    following: daemon !== null,
  });
  const warnings = [...(trouble === null ? [] : [trouble]), ...unreached, ...found];
  return {
    ...state,
    daemon,
    writer,
    warnings,
    notes: [...notes(active, asked), ...(await rollbackNotes(dataPlane, active, daemon))],
  };
}

/**
 * Asks the daemon for its status. A daemon that hangs must not make `status` fail, which is needed
 * most then.
 */
async function askDaemon({ reach }: Context, netnsInode: number): Promise<Asked> {
  try {
    const { daemon, writer } = await reach.askDaemon(netnsInode);
    const unreachable = writer !== null && isDaemon(writer);
    const trouble = unreachable ? unreachableWarning(writer, netnsInode) : null;
    return { daemon, trouble, writer };
  } catch (error) {
    if (!(error instanceof IlmError)) throw error;
    const { message, remedy } = error;
    const trouble: Warning = { kind: "daemon", message, remedy: remedy ?? "" };
    return { daemon: null, trouble, writer: null };
  }
}

/** The width of the labels before the facts. */
const LABEL_WIDTH = 12;

type Named<Key extends keyof StatusJson> = NonNullable<StatusJson[Key]>;

/** How many mappings without a listener are named. */
const UNSERVED_SHOWN = 5;

interface Asked extends AskedDaemon {
  readonly trouble: Warning | null;
}

/** Returns notes on what it means that no daemon runs. */
function notes(active: Active | null, { daemon, trouble, writer }: Asked): string[] {
  if (daemon !== null || trouble !== null) return [];
  const found =
    writer === null ? [] : [`${describeLockHolder(writer)} is about to change the rules`];
  if (active === null) return found;
  const { sources } = active.rules;
  if (sources.length > 0) {
    found.push(
      `no daemon is running: changes to ${listSources(sources)} are not followed (\`ilm run\` follows them)`,
    );
  }
  return found;
}

/** Names what gets nobody new, as it is easily forgotten. */
function describeDrained({ drained }: StatusJson, colours: Context["colours"]): string {
  const shown = drained.slice(0, DRAINED_SHOWN).map(({ destination }) => destination);
  const rest = drained.length - shown.length;
  return colours.yellow(shown.join(", ") + (rest > 0 ? ` and ${rest} more` : ""));
}

/** How many drained destinations are named. */
const DRAINED_SHOWN = 5;

/**
 * Returns a note when the files that are followed, or would be, have something else than what is
 * active: a rollback has turned that away.
 */
async function rollbackNotes(
  dataPlane: DataPlane,
  active: Active | null,
  daemon: StatusJson["daemon"],
): Promise<string[]> {
  if (active === null || active.earlierFormat !== null) return [];
  const { holdingEntry } = await import("../../control/history/roll-back.js");
  let entry;
  try {
    entry = holdingEntry(dataPlane);
  } catch (error) {
    if (!(error instanceof IlmError)) throw error;
    return [`the history of changes cannot be read: ${error.message}`];
  }
  const followed = daemon?.followed ?? active.rules.sources;
  const held = entry?.held.find(({ sources }) => areSameSources(sources, followed));
  return held === undefined ? [] : [describeRollback(held.to, held.sources)];
}

function render({ colours, width }: Context, shape: StatusJson): string {
  const facts: [string, string][] = [];
  if (shape.loaded) {
    const appliedAt = shape.appliedAt ?? "";
    const [since, age] = [formatMoment(appliedAt), formatAge(Date.now() - Date.parse(appliedAt))];
    const runtime =
      shape.runtimeMappings === 0 ? "" : `, ${shape.runtimeMappings} of them added at run time`;
    facts.push(
      ["state", describeState(shape, colours)],
      ["generation", `${shape.generation ?? 0}, since ${since} (${age})`],
      ...describeDecision(shape, colours),
      ["engine", shape.engine ?? ""],
      ...(shape.mptcp === "off" ? [["mptcp", "off: new sockets are TCP"] as [string, string]] : []),
      ["source", describeSource(shape)],
      ["mappings", `${shape.mappings}${runtime}, for ${count(shape.services, "service")}`],
      ...(shape.drained.length === 0
        ? []
        : [["drained", describeDrained(shape, colours)] as [string, string]]),
      ["health", describeHealth(shape, { colours, width })],
      ["listeners", `${shape.listeners ?? 0}, ${shape.mappedListeners ?? 0} of them with mappings`],
    );
  } else {
    facts.push(["state", "nothing is loaded"]);
  }
  facts.push(["netns", String(shape.netns)], ["daemon", describeDaemon(shape)]);
  if (shape.lookups !== null) {
    const { existing, selected, missed, errors } = shape.lookups;
    facts.push([
      "lookups",
      `${selected} selected, ${existing} existing, ${missed} missed, ${errors} errors`,
    ]);
  }
  if (shape.flows !== null && shape.flows.live > 0) {
    facts.push(["UDP flows", `${shape.flows.live}, of at most ${shape.flows.capacity}`]);
  }
  const table = facts
    .map(([name, value]) => `${`${name}:`.padEnd(LABEL_WIDTH)}${value}\n`)
    .join("");
  const merged = mergeSame(shape.warnings, sayingOf);
  const warnings = groupAlike(merged, ({ item }) => kindOf(item)).map(({ item: one, others }) => {
    const { item, elsewhere } = one;
    const more = describeOthers(others.flatMap(({ item: { about = [] } }) => about));
    const lines = [
      ...(elsewhere.length === 0 ? [] : [`the same of ${elsewhere.join(", ")}`]),
      item.remedy,
      ...(more === "" ? [] : [more]),
    ]
      .map((line) => `${line}\n`)
      .join("");
    return `\n${colours.yellow("warning")}: ${item.message}\n${indent(lines)}`;
  });
  const remarks = shape.notes.map((note) => `\nnote: ${note}\n`);
  return table + warnings.join("") + remarks.join("");
}

/** What a warning says of its mappings, whichever address it is about. */
function sayingOf({ kind, message, remedy, about }: StatusJson["warnings"][number]) {
  const text = `${message}; ${remedy}`;
  const key = about === undefined ? text : [kind, ...about, gist(text, about)].join(" ");
  return { key, text: message };
}

/** What a warning says, whichever mapping it is about. */
function kindOf({ kind, message, about }: StatusJson["warnings"][number]): string {
  return about === undefined ? `${kind} ${message}` : kind;
}

/** Says whether the rules wait for their confirmation, or those after them have gone back. */
function describeDecision(
  { generation, pending, wentBackAt }: StatusJson,
  colours: Context["colours"],
): [string, string][] {
  if (pending !== null) {
    return [["pending", colours.yellow(`it ${describePending(pending)}`)]];
  }
  return wentBackAt === null ? [] : [["went back", describeWentBack(generation ?? 0, wentBackAt)]];
}

/** Describes what the rules come from. */
function describeSource({ sources, given, copiedAt, daemon }: StatusJson): string {
  if (sources.length === 0) return "arguments and run-time mappings only";
  const beside =
    given.length === 0 ? "" : `, and ${count(given.length, "argument")}: ${namesShown(given)}`;
  // A file that is as the copy is changes nothing when it is read.
  const isCopy = copiedAt !== null && (daemon === null || daemon.lastReload?.error);
  const when = isCopy ? `, as it was at ${formatMoment(copiedAt)} (a copy)` : "";
  return `${listSources(sources)}${when}${beside}`;
}

/** Describes the state, which people look at first: whether ilm decides. */
function describeState(
  { off, warnings, earlierFormat }: StatusJson,
  colours: Context["colours"],
): string {
  if (off) return colours.red("OFF: mappings have no effect until `ilm on`");
  if (warnings.some(({ message }) => message === lookupDetached.message)) {
    return colours.red("loaded, but DETACHED: mappings have no effect");
  }
  if (earlierFormat !== null) {
    return colours.yellow(`loaded, by an earlier version of ilm (state format ${earlierFormat})`);
  }
  return colours.green("loaded");
}

/** Describes which mappings serve, with a line for each kind of fault. */
function describeHealth(
  status: StatusJson,
  { colours, width }: Pick<Context, "colours" | "width">,
): string {
  const { mappings, unserved, drainedMappings, gaps, degraded, full } = status;
  if (unserved === null || mappings === 0) return "no mappings";
  const { red, yellow, green } = colours;
  const faults: (readonly [string, (text: string) => string])[] = [
    ...(unserved.count === 0 ? [] : [[describeDown(unserved, mappings), red] as const]),
    ...(drainedMappings?.count ? [[describeNobodyNew(drainedMappings), red] as const] : []),
    ...(gaps?.count
      ? [[describeGaps(shownGaps(gaps)) + moreThan(gaps.count, shownGaps(gaps)), red] as const]
      : []),
    ...(full?.count ? [[describeFull(full, mappings), red] as const] : []),
    ...(degraded?.count ? [[describeAllDegraded(degraded), yellow] as const] : []),
  ];
  const all = mappings === 1 ? "the mapping has" : `all ${mappings} mappings have`;
  const isServed = unserved.count + (drainedMappings?.count ?? 0) === 0;
  const plain = (text: string): string => text;
  if (isServed) faults.unshift([`${all} a listener`, faults.length === 0 ? green : plain]);
  return faults
    .flatMap(([text, paint]) => wrap(text, width - LABEL_WIDTH).map(paint))
    .join(`\n${" ".repeat(LABEL_WIDTH)}`);
}

/** Describes the mappings that lead to drained destinations only. */
function describeNobodyNew({ count: number, mappings }: Named<"drainedMappings">): string {
  const shown = mappings.slice(0, UNSERVED_SHOWN).map((one) => nameAmong(one, mappings));
  const verb = number === 1 ? "takes" : "take";
  return `${count(number, "mapping")} ${verb} nobody new: ${shown.join(", ")}${moreThan(number, shown)} (drained)`;
}

function shownGaps({ mappings }: Named<"gaps">): Named<"gaps">["mappings"] {
  return mappings.slice(0, UNSERVED_SHOWN);
}

/** Describes the mappings of which a destination is down. */
function describeAllDegraded({ count: number, mappings }: Named<"degraded">): string {
  const shown = mappings.slice(0, UNSERVED_SHOWN).map((one) => describeDegraded(one, mappings));
  const more =
    number > shown.length ? `; ${number - shown.length} more: \`ilm mappings --degraded\`` : "";
  return `degraded: ${shown.join("; ")}${more}`;
}

function moreThan(number: number, shown: readonly unknown[]): string {
  const rest = number - shown.length;
  return rest > 0 ? ` and ${rest} more: \`ilm mappings --down\`` : "";
}

/** Describes the mappings whose daemon lets everything wait. */
function describeFull(full: NonNullable<StatusJson["full"]>, mappings: number): string {
  const shown = full.mappings.slice(0, UNSERVED_SHOWN);
  const list = shown.map((one) => `${printable(one.name)} (${describeQueue(one)})`);
  const more = full.count > shown.length ? ` and ${full.count - shown.length} more` : "";
  const verb = full.count === 1 ? "hangs" : "hang";
  return `${full.count} of ${count(mappings, "mapping")} ${verb}: ${list.join(", ")}${more}`;
}

/** Describes the mappings without a listener. */
function describeDown(
  { count: down, mappings: named }: NonNullable<StatusJson["unserved"]>,
  mappings: number,
): string {
  const shown = named.slice(0, UNSERVED_SHOWN);
  const list = shown.map((one) => nameAmong(one, named) + describeUnserved(one));
  const more =
    down > shown.length ? ` and ${down - shown.length} more: \`ilm mappings --down\`` : "";
  const verb = down === 1 ? "has" : "have";
  return `${down} of ${count(mappings, "mapping")} ${verb} no listener: ${list.join(", ")}${more}`;
}

function describeDaemon({ daemon, writer, warnings }: StatusJson): string {
  if (daemon === null) {
    const isAsked = writer === null && warnings.some(({ kind }) => kind === "daemon");
    if (isAsked) return "does not answer";
    return writer === null || !isDaemon(writer)
      ? "not running"
      : `pid ${writer.pid}, not reachable`;
  }
  const { followed } = daemon;
  const follows = followed.length === 0 ? "follows no file" : `follows ${listSources(followed)}`;
  return `pid ${daemon.pid}, ${follows}`;
}
