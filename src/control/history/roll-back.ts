/** Finds the rules that a rollback makes active again, and makes them active. */
import { createHash } from "node:crypto";
import { nothingActive, type ChangeResult } from "../../api/result.js";
import { digestOfFile, isUndecodable, unreadFile } from "../../dataplane/description.js";
import type { ApplyOptions, DataPlane, Snapshot } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import { bootSeconds, secondOf, thisBoot } from "../../kernel/boot-time.js";
import type { Mapping } from "../../model/mapping.js";
import { formatMoment } from "../../model/moment.js";
import type { ActiveRules } from "../../model/rules.js";
import {
  withoutEnded,
  type Change,
  type DecisionChange,
  type RollbackChange,
} from "../../rules/change.js";
import type { Entry, KeptRules, UnheldText } from "./entry.js";
import { entryOf, readable, type Cause, type Recorded } from "./record.js";
import { HistoryStore } from "./store.js";
import { unrecordedEnd } from "./wait.js";

/** What a rollback leads to. */
export interface Target {
  readonly entry: Entry;
  readonly rules: ActiveRules;
  readonly off: boolean;
}

/**
 * While a change waits for its confirmation, a rollback to the rules that it goes back to takes it
 * back. Returns the number of that change's entry, or null when there were no rules before; returns
 * undefined when the rollback is another one.
 */
export function findWayBack(dataPlane: Recorded, number: number | null): number | null | undefined {
  const active = dataPlane.snapshot();
  if (active === null || active.pending === null) return undefined;
  const wait = HistoryStore.read(dataPlane, (store) => entryOf(store, active)?.wait);
  if (number === null) return wait?.to ?? null;
  return wait?.to === number ? number : undefined;
}

/** Turns a rollback into taking a change back that waits, where that is the same. */
export function asDecision<C extends Change>(dataPlane: Recorded, change: C): C | DecisionChange {
  const takesBack = change.kind === "rollback" && findWayBack(dataPlane, change.to) !== undefined;
  return takesBack ? { kind: "back" } : change;
}

/**
 * Finds what to roll back to: an entry by its number, or with null what was active before the last
 * change. Throws NOT_FOUND.
 */
export function findTarget(dataPlane: Recorded, number: number | null): Target {
  const active = dataPlane.snapshot();
  return HistoryStore.read(dataPlane, (store) => {
    if (store === undefined) throw nothing("there is no history of changes yet");
    const entry = store.entry(number ?? numberBefore(store, active));
    if (entry === null) {
      throw nothing(`the history has no change ${number ?? "before the last one any more"}`);
    }
    const rules = withoutEnded(rulesOf(store, entry, active), bootSeconds());
    return { entry, off: entry.off, rules };
  });
}

function nothing(message: string, remedy = "`ilm history` lists the changes."): IlmError {
  return new IlmError("NOT_FOUND", message, { remedy });
}

function numberBefore(store: HistoryStore, active: Snapshot | null): number {
  const end = unrecordedEnd(store, active);
  if (end !== null && !end.confirmed && active !== null) throw wentBack(end.at);
  const [last] = store.entries();
  let current = active === null ? last : (entryOf(store, active) ?? undefined);
  // What is active came after all of the history: the last entry is what was before.
  if (current === undefined && last !== undefined) return last.number;
  let hasEnded = false;
  // That a change was kept is no change, and neither is the end of what was added for a time.
  while (current !== undefined && isNoChange(current) && current.before !== null) {
    hasEnded ||= current.cause === "ended";
    current = store.entry(current.before) ?? undefined;
  }
  if (current?.cause === "back" || current?.cause === "unconfirmed") {
    if (active === null) return current.number;
    throw wentBack(current.time);
  }
  const number = current?.before ?? null;
  const before = hasEnded ? beforeEnded(store, number, active) : number;
  if (before !== null) return before;
  throw nothing("before the last change, nothing was active");
}

/** Passes over changes that did nothing but add what has ended since. */
function beforeEnded(
  store: HistoryStore,
  number: number | null,
  active: Snapshot | null,
): number | null {
  const entry = number === null ? null : store.entry(number);
  const isSame = entry?.digest === active?.digest && entry?.off === active?.off;
  return entry === null || !isSame ? number : beforeEnded(store, entry.before, active);
}

function isNoChange({ cause }: Entry): boolean {
  return cause === "confirm" || cause === "ended";
}

/** Returns the error for whoever takes back what has gone back already. */
function wentBack(at: string): IlmError {
  return nothing(
    `the last change went back at ${formatMoment(at)}: the rules before it are active already`,
    "`ilm rollback NUMBER` returns to any of the changes that `ilm history` lists.",
  );
}

/**
 * Returns the rules of an entry, with mappings that have ended since; those of the active file are
 * the very object.
 */
function rulesOf(store: HistoryStore, entry: Entry, active: Snapshot | null): ActiveRules {
  const { number, rules } = entry;
  if (rules === null) {
    throw nothing(`after change ${number}, nothing was active`);
  }
  const { sources, head, count, fileDigest, drained } = rules;
  const runtime = runtimeOf(rules);
  const beside = { sources, runtime, ...(drained !== undefined && { drained }) };
  if (active?.fileDigest === fileDigest) {
    return { ...beside, file: active.rules.file };
  }
  const packed = store.packed(fileDigest);
  const lost = (): IlmError =>
    nothing(
      `the mappings of change ${number} are not kept any more`,
      "`ilm history` says which changes can be returned to.",
    );
  if (packed === undefined) throw lost();
  const file = unreadFile(head, count, () => packed);
  try {
    // A power failure may have left less than was written.
    if (digestOfFile(sources, file.read()) !== fileDigest) throw lost();
  } catch (error) {
    if (isUndecodable(error)) throw lost();
    throw error;
  }
  return { ...beside, file };
}

/** Returns the mappings added at run time, which end at the time of day that they had. */
function runtimeOf({ runtime, boot }: KeptRules): readonly Mapping[] {
  if (boot === undefined) return runtime;
  const now = thisBoot();
  return runtime.map((mapping) => {
    const { until } = mapping;
    return until === undefined ? mapping : { ...mapping, until: secondOf(until, boot, now) };
  });
}

/** Returns the rules of an entry, or null when they are not kept. */
export function rulesIfKept(
  store: HistoryStore,
  entry: Entry,
  active: Snapshot | null,
): ActiveRules | null {
  try {
    return rulesOf(store, entry, active);
  } catch (error) {
    if (error instanceof IlmError && error.code === "NOT_FOUND") return null;
    throw error;
  }
}

/** Returns the rules of an entry as they are to be active now. Throws NOT_FOUND. */
export function rulesOfEntry(dataPlane: Recorded, entry: Entry): ActiveRules {
  const active = dataPlane.snapshot();
  return HistoryStore.read(dataPlane, (store) => {
    if (store === undefined) throw nothing("there is no history of changes any more");
    return withoutEnded(rulesOf(store, entry, active), bootSeconds());
  });
}

/**
 * What the history is told of a rollback. Without `held`, the file's part stays as it is, and so do
 * the texts that were turned away.
 */
type RollbackCause = Pick<Cause, "held"> & Required<Pick<Cause, "to">>;

/** Finds what a rollback leads to and what it turns away. Throws NOT_FOUND. */
export async function makeReady(
  dataPlane: DataPlane,
  { to: number }: RollbackChange,
): Promise<{ readonly target: Target; readonly noted: RollbackCause }> {
  const target = findTarget(dataPlane, number);
  const texts = await textsToHold(dataPlane.snapshot(), target);
  const to = target.entry.number;
  const held = texts?.map((text) => ({ ...text, to }));
  return { target, noted: { to, ...(held !== undefined && { held }) } };
}

/** Makes the rules of a target active. The caller holds the writer's lock. */
export function applyTarget(
  dataPlane: DataPlane,
  { rules, off }: Target,
  options: ApplyOptions,
): ChangeResult {
  const result: ChangeResult = { ...nothingActive, ...dataPlane.apply(rules, options) };
  const switched = result.off !== off && dataPlane.setOff(off);
  return { ...result, off, changed: result.changed || switched };
}

/**
 * Returns the texts that a rollback turns away: those of the files that what was active came from,
 * and of those that it comes from now. Returns null when the file's part stays as it is.
 */
async function textsToHold(
  active: Snapshot | null,
  { rules: { sources, file } }: Target,
): Promise<readonly UnheldText[] | null> {
  if (active?.rules.file === file) return null;
  const all = [active?.rules.sources ?? [], sources].filter((paths) => paths.length > 0);
  const known = new Map(all.map((paths) => [JSON.stringify(paths), paths]));
  const held: UnheldText[] = [];
  for (const paths of known.values()) {
    const digest = await digestOfTexts(paths);
    if (digest !== null) held.push({ sources: paths, digest });
  }
  return held;
}

/** Returns the texts that are turned away unless a change is confirmed: those that it came from. */
export async function textsToConfirm(change: Change): Promise<readonly UnheldText[]> {
  if (change.kind !== "apply" || change.confirmSeconds === undefined) return [];
  const { sources } = change;
  const digest = sources.length === 0 ? null : await digestOfTexts(sources);
  return digest === null ? [] : [{ sources, digest }];
}

/** Digests what the files have now; null when they cannot be read. */
async function digestOfTexts(paths: readonly string[]): Promise<string | null> {
  const { readFiles } = await import("../../config/read.js");
  try {
    const { files, problems } = await readFiles(paths, { filesOnly: true });
    if (problems.length > 0) return null;
    const hash = createHash("sha512-256");
    for (const { name, bytes } of files) hash.update(`${name}\0${bytes.length}\0`).update(bytes);
    return hash.digest("hex");
  } catch (error) {
    if (error instanceof IlmError && error.code === "UNAVAILABLE") return null;
    throw error;
  }
}

/**
 * Returns the entry of what is active, or was when the host went down, when a rollback turned
 * texts away that have not been applied since; null otherwise.
 */
export function holdingEntry(dataPlane: Recorded): Entry | null {
  const active = readable(() => dataPlane.snapshot());
  // What cannot be read is no state that a rollback left.
  if (active === undefined) return null;
  const entry = HistoryStore.read(dataPlane, (store) => {
    const [last] = store?.entries() ?? [];
    return active === null ? last : entryOf(store, active);
  });
  return entry !== undefined && entry !== null && entry.held.length > 0 ? entry : null;
}

/** What keeps a text from being applied by itself. */
export interface Holding {
  /** The entry with the rules that stay. */
  readonly entry: Entry;
  /** The number of the change that was rolled back to. */
  readonly to: number;
}

/** Tells whether the text that these files still have was turned away; null when it was not. */
export async function heldFor(
  dataPlane: Recorded,
  sources: readonly string[],
): Promise<Holding | null> {
  const entry = holdingEntry(dataPlane);
  if (entry === null) return null;
  const wanted = JSON.stringify(sources);
  const held = entry.held.find((one) => JSON.stringify(one.sources) === wanted);
  if (held === undefined) return null;
  return (await digestOfTexts(sources)) === held.digest ? { entry, to: held.to } : null;
}
