/** What a change did and met, in words, for commands and the daemon's log. */
import type { PendingChange } from "../model/pending.js";
import { listSources } from "../model/sources.js";
import { count as counted, printable } from "./text.js";

/** The number of mappings of one kind, and the names of the first. */
interface Named {
  readonly count: number;
  readonly names: readonly string[];
}

/** What came, what went, and what is not as it was. */
interface Summary {
  readonly added: Named;
  readonly removed: Named;
  readonly changed: Named;
}

/** The number of names shown of each kind, in a list and in a line of the log. */
const LISTED = 10;
const LOGGED = 5;

/** Formats how many mappings were added, removed and changed: `+1 -2 ~3`. */
export function describeCounts({ added, removed, changed }: Summary): string {
  return `+${added.count} -${removed.count} ~${changed.count}`;
}

/**
 * Lists the names that were added, removed and changed, one on a line. Returns nothing for the
 * first mappings of all, of which there are `mappings` now.
 */
export function listNames(summary: Summary, mappings: number): string {
  const { added, removed, changed } = summary;
  if (added.count === mappings && removed.count === 0 && changed.count === 0) return "";
  const lines = (sign: string, { count: all, names }: Named): string[] => [
    ...names.slice(0, LISTED).map((name) => `  ${sign} ${printable(name)}`),
    ...(all > LISTED ? [`  ${sign} and ${formatCount(all - LISTED)} more`] : []),
  ];
  const all = [...lines("+", added), ...lines("-", removed), ...lines("~", changed)];
  return all.map((line) => `${line}\n`).join("");
}

/** Describes a change in one line: `3 mappings, +1 -2 ~0: + web, - blog, - mail`. */
export function describeChange(mappings: number, summary: Summary | null): string {
  const all = counted(mappings, "mapping");
  if (summary === null) return all;
  const { added, removed, changed } = summary;
  const names = (sign: string, { count: number, names: known }: Named): string[] => {
    const shown = [...new Set(known)].slice(0, LOGGED).map((name) => `${sign} ${printable(name)}`);
    return number > LOGGED ? [...shown, `${sign} and ${formatCount(number - LOGGED)} more`] : shown;
  };
  const named = [...names("+", added), ...names("-", removed), ...names("~", changed)];
  return `${all}, ${describeCounts(summary)}${named.length > 0 ? `: ${named.join(", ")}` : ""}`;
}

/** Formats a number with its thousands apart: `4,995`. */
function formatCount(number: number): string {
  return number.toLocaleString("en-US");
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
  return `decides until ${pending.until} (${left} s from now), and then generation ${pending.backTo} again: \`ilm confirm\` keeps it`;
}

/** Describes that a change went back, for lack of a confirmation. */
export function describeWentBack(generation: number, at: string): string {
  return `the change after generation ${generation} was not confirmed, and went back at ${at}`;
}
