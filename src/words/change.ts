/** What a change did and met, in words, for commands and the daemon's log. */
import type { PendingChange } from "../model/pending.js";
import { listSources } from "../model/sources.js";
import { count as counted, formatMoment, printable } from "./text.js";

/** The number of mappings of one kind, and the names of the first. */
interface Named {
  readonly count: number;
  readonly names: readonly string[];
  /** The protocol of each name; empty where it is not known. */
  readonly protocols: readonly string[];
}

/** A destination, and the mappings that lead there. */
interface DrainedBy {
  readonly destination: string;
  readonly mappings: Named;
}

/** What came, what went, and what is not as it was. */
interface Summary {
  readonly added: Named;
  readonly removed: Named;
  readonly changed: Named;
  readonly drained: readonly DrainedBy[];
  readonly undrained: readonly DrainedBy[];
}

/** The number of names shown of each kind, in a list and in a line of the log. */
const LISTED = 10;
const LOGGED = 5;

/**
 * Formats how many mappings there are, and how many were added, removed and changed: `3 mappings,
 * +1 -2 ~3`. What only drains says nothing of mappings.
 */
export function describeCounts(mappings: number, summary: Summary | null): string {
  const all = counted(mappings, "mapping");
  const counts = summary === null ? "" : countsOf(summary);
  return counts === "" ? all : `${all}, ${counts}`;
}

/** Formats how many mappings were added, removed and changed; empty for what only drains. */
export function countsOf({ added, removed, changed, drained, undrained }: Summary): string {
  const mappings = added.count + removed.count + changed.count;
  if (mappings === 0 && drained.length + undrained.length > 0) return "";
  return `+${added.count} -${removed.count} ~${changed.count}`;
}

/**
 * Lists the names that were added, removed and changed, one on a line, and what was drained.
 * Returns no names for the first mappings of all, of which there are `mappings` now.
 */
export function listNames(summary: Summary, mappings: number): string {
  const { added, removed, changed } = summary;
  const isFirst = added.count === mappings && removed.count + changed.count === 0;
  const lines = (sign: string, { shown, rest }: Shown, what: string): string[] => [
    ...shown.map((name) => `${sign} ${name}`),
    ...(rest > 0 ? [`and ${rest} more ${what}`] : []),
  ];
  const names = [
    ...lines("+", firstOf(added, LISTED), "that are new"),
    ...lines("-", firstOf(removed, LISTED), "that are gone"),
    ...lines("~", firstOf(changed, LISTED), "that are not as they were"),
  ];
  const all = [...(isFirst ? [] : names), ...describeDrains(summary)];
  return all.map((line) => `  ${line}\n`).join("");
}

/** Describes a change in one line: `3 mappings, +1 -2 ~0: + web, - blog, - mail`. */
export function describeChange(mappings: number, summary: Summary | null): string {
  const counts = describeCounts(mappings, summary);
  if (summary === null) return counts;
  const { added, removed, changed } = summary;
  const names = (sign: string, { shown, rest }: Shown): string[] =>
    shown.map((name, index) => {
      const isLast = index === shown.length - 1;
      return `${sign} ${name}${isLast && rest > 0 ? ` and ${rest} more` : ""}`;
    });
  const said = [
    ...names("+", firstOf(added, LOGGED)),
    ...names("-", firstOf(removed, LOGGED)),
    ...names("~", firstOf(changed, LOGGED)),
    ...describeDrains(summary),
  ];
  return `${counts}${said.length > 0 ? `: ${said.join(", ")}` : ""}`;
}

/** Says which destinations get nobody new, and which do again, with the mappings' names. */
function describeDrains({ drained, undrained }: Summary): string[] {
  const said = (list: readonly DrainedBy[], what: string): string[] =>
    list.map(({ destination, mappings }) => {
      return `${printable(destination)} ${what}${describeLeading(mappings)}`;
    });
  return [...said(undrained, DRAIN_WORDS.undrain), ...said(drained, DRAIN_WORDS.drain)];
}

/** What it means to be drained from now on, and not any more. */
export const DRAIN_WORDS = {
  drain: "gets nobody new",
  undrain: "gets new connections again",
} as const;

/** Names the mappings that lead to a destination, to follow what is said of it: ` (web, blog)`. */
export function describeLeading(mappings: Named): string {
  const { shown, rest } = firstOf(mappings, LOGGED);
  if (shown.length === 0) return "";
  return ` (${shown.join(", ")}${rest > 0 ? ` and ${rest} more` : ""})`;
}

interface Shown {
  readonly shown: readonly string[];
  readonly rest: number;
}

/**
 * Returns the first names, with the protocol where a name is there twice. One that would be left
 * out alone is shown, too.
 */
function firstOf({ count: all, names, protocols }: Named, most: number): Shown {
  const shown = names.slice(0, all === most + 1 ? all : most).map((name, index) => {
    const protocol = protocols[index];
    const isTwice = names.indexOf(name) !== names.lastIndexOf(name);
    return isTwice && protocol !== undefined ? `${printable(name)} ${protocol}` : printable(name);
  });
  return { shown, rest: all - shown.length };
}

/** Says that an earlier version's state was taken over. `format` is its state format. */
export function describeTakenOver(format: number): string {
  return `the rules of an earlier version of ilm (state format ${format}) were taken over, with their mappings added at run time, counters and UDP flows`;
}

/** Says what was lost. `why` explains why the previous state could not be read. */
export function describeLost(why: string): string {
  return `any mappings added at run time and any counters are lost: ${why}`;
}

export function describeMissingInterface(name: string): string {
  return `there is no interface ${name} now: the mappings that name it match nothing until it appears (\`ilm run\` notices automatically)`;
}

export function describeKfuncTrouble(trouble: string): string {
  return `the kernel module ilm_lookup is loaded but cannot be used, so the registry finds the listeners: ${trouble}`;
}

/**
 * Says that the rules are those of an earlier change, and when the files that were turned away
 * count again.
 */
export function describeRollback(to: number, turnedAway: readonly string[]): string {
  const when =
    turnedAway.length === 1
      ? "is applied again when it changes"
      : "are applied again when they change";
  const files = `: ${listSources(turnedAway)} ${when}, or by \`ilm reload\``;
  return `rolled back to change ${to}${turnedAway.length === 0 ? "" : files}`;
}

/** Describes a change that waits for its confirmation, to follow "generation 8 ". */
export function describePending(pending: PendingChange, now = Date.now()): string {
  const left = Math.max(0, Math.round((Date.parse(pending.until) - now) / 1000));
  return `decides until ${formatMoment(pending.until, new Date(now))} (${left} s from now), and then generation ${pending.backTo} again: \`ilm confirm\` keeps it`;
}

/** Describes that a change went back, for lack of a confirmation. */
export function describeWentBack(generation: number, at: string): string {
  return `the change after generation ${generation} was not confirmed, and went back at ${formatMoment(at)}`;
}
