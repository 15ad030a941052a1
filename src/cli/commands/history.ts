/** `ilm history`: lists the changes of the rules, or shows one in full. */
import type { Entry } from "../../control/history/entry.js";
import { parseLimit } from "../../daemon/chosen.js";
import type { DataPlane } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import type { ChangeJson, HistoryEntryJson, HistoryJson } from "../../json/history.js";
import { published } from "../../json/published.js";
import { formatDrained } from "../../model/drained.js";
import { noActiveRules, readRules } from "../../model/rules.js";
import { listSources } from "../../model/sources.js";
import { describeChange } from "../../words/change.js";
import { count, formatMoment, indent, namesShown, printable } from "../../words/text.js";
import {
  describeDifference,
  differenceOf,
  differenceShape,
  type Difference,
} from "../render/difference.js";
import { mostOf, refuseDifferences, type DifferencesOptions } from "../shell/differences.js";
import { print, type Colours, type Context } from "../shell/context.js";
import { withDataPlane } from "../shell/with-data-plane.js";

/** `limit` is how many changes to show at most, or how much of each kind of one. */
export type HistoryOptions = DifferencesOptions;

const SHOWN = 20;

export async function history(
  context: Context,
  options: HistoryOptions,
  number: string | undefined,
): Promise<void> {
  const wanted = number === undefined ? null : parseChange(number);
  if (wanted === null) {
    const { limit: text, summary } = options;
    refuseDifferences({ ...(summary !== undefined && { summary }) }, "the number of a change");
    const limit = text === undefined ? SHOWN : parseLimit(text, "--limit", "changes");
    await withDataPlane(context, (dataPlane) => showAll(context, dataPlane, limit));
    return;
  }
  const most = mostOf(options);
  await withDataPlane(context, (dataPlane) => showOne(context, dataPlane, wanted, most));
}

/** Parses the number of a change. Throws USAGE. */
export function parseChange(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new IlmError("USAGE", `${JSON.stringify(text)} is not the number of a change`, {
    remedy: "`ilm history` lists the changes with their numbers.",
  });
}

async function showAll(context: Context, dataPlane: DataPlane, limit: number): Promise<void> {
  const { HistoryStore } = await import("../../control/history/store.js");
  const { entryOf } = await import("../../control/history/record.js");
  const { unrecordedEnd } = await import("../../control/history/wait.js");
  const active = dataPlane.snapshot();
  const json = HistoryStore.read(dataPlane, (store): HistoryJson => {
    const current = entryOf(store, active)?.number ?? null;
    const all = [...(store?.entries() ?? [])];
    const shown = all.slice(0, limit);
    const end = store === undefined ? null : unrecordedEnd(store, active);
    return {
      changes: shown.map((entry) => shapeOf(entry, current, isKept(entry))),
      more: all.length - shown.length,
      unrecorded: active !== null && current === null && end === null,
      wentBack:
        end === null || end.confirmed
          ? null
          : { change: end.wait.change ?? end.entry.number, at: end.at },
    };
    function isKept({ rules }: Entry): boolean {
      return rules !== null && store?.has(rules.fileDigest) === true;
    }
  });
  await print(context, published<HistoryJson>()(json), () => render(json, context.colours));
}

function shapeOf(entry: Entry, current: number | null, kept: boolean): ChangeJson {
  const { number, time, cause, author, generation, before, to, difference, mappings, off } = entry;
  const sources = entry.rules?.sources ?? [];
  const { copiedAt = null } = entry;
  const same = { number, time, cause, author, sources, copiedAt, generation, before, to };
  const drained = (entry.rules?.drained ?? []).map(formatDrained);
  const until = entry.wait?.change === null ? entry.wait.until : null;
  return { ...same, difference, until, mappings, drained, off, active: number === current, kept };
}

function render({ changes, more, ...found }: HistoryJson, colours: Colours): string {
  if (changes.length === 0) return "no change was recorded\n";
  const note = describeUnrecorded(found);
  const rest =
    more > 0 ? `and ${count(more, "earlier change")}: --limit ${changes.length + more}\n` : "";
  const notes = note === "" ? "" : `${colours.yellow("note")}: ${note}\n`;
  return notes + changes.map((change) => describe(change, colours)).join("") + rest;
}

/** Says what the next change, or a running daemon, is going to record. */
function describeUnrecorded({
  unrecorded,
  wentBack,
}: Pick<HistoryJson, "unrecorded" | "wentBack">): string {
  if (wentBack !== null) {
    return `change ${wentBack.change} was not confirmed and went back at ${formatMoment(wentBack.at)}; the next change records that`;
  }
  return unrecorded
    ? "the active rules are in no entry: their writer was killed, or is another version of ilm; the next change records them"
    : "";
}

/** Describes a change in two or three lines. */
function describe(change: ChangeJson, colours: Colours): string {
  const { number, time, cause, to, generation, difference, mappings, off, active, kept } = change;
  const { sources, drained, until } = change;
  const what = describeCause(change) + (to === null ? "" : ` to ${to}`);
  const states = [
    ...(active ? [colours.green("active")] : []),
    ...(off ? [colours.yellow("off")] : []),
    ...(kept || generation === null ? [] : ["not kept"]),
  ];
  const marks = states.length === 0 ? "" : ` (${states.join(", ")})`;
  const when = formatMoment(time);
  const lines = [
    `${isOfItself(cause) ? "by itself; recorded " : ""}by ${describeAuthor(change.author)}`,
    generation === null
      ? "nothing is active after it"
      : `generation ${generation}: ${describeChange(mappings, difference)}`,
    ...(until === null ? [] : [`to be confirmed until ${formatMoment(until)}`]),
    ...(drained.length === 0 ? [] : [`drained: ${drained.join(", ")}`]),
    ...(sources.length === 0
      ? []
      : [
          `from ${printable(listSources(sources))}${describeCopy(change.copiedAt, "as it was at")}`,
        ]),
  ];
  return `${colours.bold(String(number))}  ${when}  ${what}${marks}\n${indent(`${lines.join("\n")}\n`, 4)}`;
}

/** Says of which time a copy is; empty for none. */
function describeCopy(copiedAt: string | null, what: string): string {
  return copiedAt === null ? "" : `, ${what} ${formatMoment(copiedAt)}`;
}

/** Reports whether nobody made a change: its time was over. */
function isOfItself(cause: ChangeJson["cause"]): boolean {
  return cause === "unconfirmed" || cause === "ended";
}

function describeCause({ cause, difference, copiedAt }: ChangeJson): string {
  switch (cause) {
    case "file":
      return "the file changed";
    case "start":
      return `the daemon started${describeCopy(copiedAt, "with the copy of")}`;
    case "ended":
      return `the time of ${namesShown(difference?.removed.names ?? [], 5)} was over`;
    case "found":
      return "found active";
    case "back":
      return "taken back";
    case "unconfirmed":
      return "not confirmed, went back";
    default:
      return cause;
  }
}

/** Formats who made a change: `root (login alice), deploy.service: ilm apply -f x.yaml`. */
function describeAuthor({ user, uid, login, unit, command, pid }: ChangeJson["author"]): string {
  const name = user === String(uid) ? `user ${uid}` : `${user} (${uid})`;
  const from = login === null || login === user ? "" : `, logged in as ${login}`;
  const place = unit === null ? "" : `, ${unit}`;
  return printable(`${name}${from}${place}: ${command === "" ? `process ${pid}` : command}`);
}

async function showOne(
  context: Context,
  dataPlane: DataPlane,
  number: number,
  most: number,
): Promise<void> {
  const { HistoryStore } = await import("../../control/history/store.js");
  const { entryOf } = await import("../../control/history/record.js");
  const { rulesIfKept } = await import("../../control/history/roll-back.js");
  const active = dataPlane.snapshot();
  const { change, sides } = HistoryStore.read(dataPlane, (store) => {
    const entry = store?.entry(number) ?? null;
    if (store === undefined || entry === null) {
      throw new IlmError("NOT_FOUND", `the history has no change ${number}`, {
        remedy: "`ilm history` lists the changes.",
      });
    }
    const current = entryOf(store, active)?.number ?? null;
    const kept = entry.rules !== null && store.has(entry.rules.fileDigest);
    const previous = entry.before === null ? null : store.entry(entry.before);
    const isFirst = entry.before === null || previous?.digest === null;
    const before = isFirst ? noActiveRules : previous && rulesIfKept(store, previous, active);
    const after = entry.digest === null ? noActiveRules : rulesIfKept(store, entry, active);
    return { change: shapeOf(entry, current, kept), sides: before && after && { before, after } };
  });
  const difference: Difference | null =
    sides && (await differenceOf(readRules(sides.before), readRules(sides.after)));
  const rules = difference && differenceShape(difference, most);
  await print(
    context,
    published<HistoryEntryJson>()({ change, rules }),
    () =>
      describe(change, context.colours) +
      (difference === null
        ? "the rules before or after it are not kept any more\n"
        : describeDifference(difference, context.colours, most)),
  );
}
