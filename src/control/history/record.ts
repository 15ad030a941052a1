/** Writes changes into the history, as part of making them. */
import { errorBody } from "../../api/error-body.js";
import type { ChangeResult } from "../../api/result.js";
import type { DataPlane, Snapshot } from "../../dataplane/types.js";
import { IlmError } from "../../errors.js";
import { authorOf, type Author } from "../../kernel/author.js";
import { thisBoot } from "../../kernel/boot-time.js";
import { isHostsNetns, removeRuntimeHistory } from "../../kernel/state-folder.js";
import { countMappings } from "../../model/rules.js";
import type { CauseKind } from "../../model/causes.js";
import type { ChangeSummary } from "../../rules/summary.js";
import type { Entry, HeldText, KeptRules, UnheldText, Wait } from "./entry.js";
import { HistoryStore, type Place } from "./store.js";
import { unrecordedEnd, wayBack, type WaitEnd } from "./wait.js";

/** What a change is recorded as. */
export interface Cause {
  readonly kind: Exclude<CauseKind, "found" | "unconfirmed">;
  readonly author: Author;
  /** For a rollback: the entry that it leads to, and the texts that it turns away. */
  readonly to?: number;
  readonly held?: readonly HeldText[];
  /** The texts that are turned away unless the change is confirmed. */
  readonly unlessConfirmed?: readonly UnheldText[];
  /** For a copy of what was right before: since when (see Entry). */
  readonly copiedAt?: string | undefined;
}

/** Whether a change leaves the file's part as it is, and so what a rollback turned away, too. */
const isBesideFile: Readonly<Record<Cause["kind"], boolean>> = {
  apply: false,
  add: true,
  remove: true,
  drain: true,
  undrain: true,
  off: true,
  on: true,
  unload: false,
  rollback: false,
  confirm: true,
  back: false,
  reload: false,
  file: false,
  start: false,
  ended: true,
};

export type Recorded = Place & Pick<DataPlane, "snapshot">;

/** Told why a change is not in the history. */
export type Warn = (message: string) => void;

/** What was active before a change. */
interface Before {
  /** What was active; null for nothing. */
  readonly active: Snapshot | null;
  /** The number of its entry, or of the last entry when nothing was active; null for none. */
  readonly number: number | null;
  /** Its entry; null when there is none. */
  readonly known: Entry | null;
  /** What to add to the history first; null when an entry has it. */
  readonly unrecorded: Unrecorded | null;
}

interface Unrecorded {
  readonly entry: Omit<Entry, "version" | "number" | "before">;
  readonly packed: Uint8Array;
}

/**
 * Makes a change and records what came of it. The history never keeps a change from being made:
 * what cannot be written is a warning. A writer that is killed after the switch leaves no entry.
 */
export function recordChange<R extends Pick<ChangeResult, "changed" | "difference">>(
  dataPlane: Recorded,
  cause: Cause,
  warn: Warn,
  make: () => R,
): R {
  recordEndOfWait(dataPlane, warn);
  const before = orFailure(() => lookBefore(dataPlane));
  const result = make();
  if (!result.changed) return result;
  const written =
    before instanceof IlmError
      ? before
      : orFailure(() => write(dataPlane, cause, before, result.difference));
  if (written instanceof IlmError) {
    warn(`the change is not in the history: ${errorBody(written).message}`);
    return result;
  }
  // What going back does is the inverse of what the change did.
  return cause.kind === "back" && written !== null
    ? { ...result, difference: written.difference }
    : result;
}

/**
 * Records what became of a change that waited for its confirmation, if no entry tells that: it went
 * back by itself, or whoever confirmed it was killed. Returns the entry, or null. The caller holds
 * the writer's lock.
 */
export function recordEndOfWait(dataPlane: Recorded, warn: Warn): Entry | null {
  // That a history cannot be read is told by the change that is not in it.
  if (orFailure(() => HistoryStore.read(dataPlane, lastWaits)) !== true) return null;
  const written = orFailure(() => {
    const active = readable(() => dataPlane.snapshot());
    // Nothing is known of what another version has made.
    if (active === undefined) return null;
    const end = HistoryStore.read(dataPlane, (store) =>
      store === undefined ? null : unrecordedEnd(store, active),
    );
    if (end === null) return null;
    const store = HistoryStore.make(dataPlane);
    try {
      return writeEnd(dataPlane, store, end, active);
    } finally {
      store.close();
    }
  });
  if (!(written instanceof IlmError)) return written;
  warn(`the end of the wait is not in the history: ${errorBody(written).message}`);
  return null;
}

/** Reports whether the last entry waits: usually it does not, and nothing more need be read. */
function lastWaits(store: HistoryStore | undefined): boolean {
  const [last] = store?.entries() ?? [];
  return last?.wait !== undefined;
}

function writeEnd(
  dataPlane: Recorded,
  store: HistoryStore,
  { entry, wait, confirmed, at }: WaitEnd,
  active: Snapshot | null,
): Entry {
  const { target, difference, held } = wayBack(store, entry, wait);
  const state =
    active === null && target !== null
      ? stateOf(dataPlane, store, target)
      : stateFields(dataPlane, active);
  const copiedAt = confirmed ? entry.copiedAt : target?.copiedAt;
  const copied = copiedAt !== undefined && { copiedAt };
  const same = { ...state, author: authorOf(process.pid), before: entry.number, ...copied };
  const packed = (): Uint8Array => active?.packed() ?? new Uint8Array(0);
  if (confirmed) {
    const { held: heldBefore } = entry;
    const how = { time: new Date().toISOString(), cause: "confirm", to: null } as const;
    return store.add({ ...same, ...how, difference: null, held: heldBefore }, packed);
  }
  const { to } = wait;
  const how = { time: at, cause: "unconfirmed", to, difference } as const;
  // Without rules to stay with, no text is turned away.
  return store.add({ ...same, ...how, held: state.rules === null ? [] : held }, packed, true);
}

/** Returns the error instead of throwing it: of a change that is refused, only that is told. */
function orFailure<T>(action: () => T): T | IlmError {
  try {
    return action();
  } catch (error) {
    if (error instanceof IlmError) return error;
    throw error;
  }
}

/** Returns the latest entry that has exactly what is active; null when none has. */
export function entryOf(store: HistoryStore | undefined, active: Snapshot | null): Entry | null {
  for (const entry of store?.entries() ?? []) if (isOf(entry, active)) return entry;
  return null;
}

function isOf(entry: Entry, active: Snapshot | null): boolean {
  if (active === null) return entry.digest === null;
  return entry.digest === active.digest && entry.off === active.off;
}

/** Returns what was read; undefined for state that this version cannot read. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof IlmError && error.code === "INCOMPATIBLE") return undefined;
    throw error;
  }
}

function snapshotIfReadable(dataPlane: Recorded): Snapshot | null {
  return readable(() => dataPlane.snapshot()) ?? null;
}

/**
 * Finds the entry of what is active. When there is none, because another version of ilm activated
 * it or a writer was killed, it is read now: after the change it is gone.
 */
function lookBefore(dataPlane: Recorded): Before {
  const active = snapshotIfReadable(dataPlane);
  return HistoryStore.read(dataPlane, (store): Before => {
    const [last] = store?.entries() ?? [];
    const number = last?.number ?? null;
    if (active === null) return { active, number, known: last ?? null, unrecorded: null };
    const known = entryOf(store, active);
    const isKept = store?.has(active.fileDigest) === true;
    if (known !== null && isKept) {
      return { active, number: known.number, known, unrecorded: null };
    }
    const entry = {
      ...stateFields(dataPlane, active),
      time: active.appliedAt,
      cause: "found",
      author: authorOf(process.pid),
      to: null,
      difference: null,
      held: [],
    } as const;
    const unrecorded = { entry, packed: active.packed() };
    return { active, number, known: null, unrecorded };
  });
}

function write(
  dataPlane: Recorded,
  { kind, author, to, held, unlessConfirmed = [], ...cause }: Cause,
  { active: activeBefore, number, known, unrecorded }: Before,
  difference: ChangeSummary | null,
): Entry | null {
  const active = snapshotIfReadable(dataPlane);
  if (active === null && !isHostsNetns(dataPlane.netnsInode)) {
    removeRuntimeHistory(dataPlane.netnsInode);
    return null;
  }
  const store = HistoryStore.make(dataPlane);
  try {
    const before =
      unrecorded === null
        ? number
        : store.add({ ...unrecorded.entry, before: number }, () => unrecorded.packed).number;
    const [last] = store.entries();
    // After a boot, the same rules are the last change still, unless they come from a copy.
    const isTold = isOfItself[kind] === true || cause.copiedAt !== undefined;
    if (last !== undefined && isOf(last, active) && !isTold) return null;
    const until = active?.pending?.until;
    const backTo = activeBefore === null ? null : before;
    const wait =
      until === undefined
        ? null
        : activeBefore?.pending
          ? waitAfter(known)
          : newWait(until, backTo, unlessConfirmed);
    const back = kind === "back" && known?.wait ? wayBack(store, known, known.wait) : null;
    const target = back === null && to !== undefined ? store.entry(to) : (back?.target ?? null);
    const same = back !== null || to !== undefined ? target : isBesideFile[kind] ? known : null;
    const copiedAt = cause.copiedAt ?? same?.copiedAt;
    // A rollback that turns no text away has left the file's part as it was.
    const staysBeside = isBesideFile[kind] || kind === "rollback";
    return store.add(
      {
        ...stateFields(dataPlane, active),
        time: new Date().toISOString(),
        cause: kind,
        author,
        before,
        to: back?.target?.number ?? to ?? null,
        difference: back === null ? difference : back.difference,
        held: back?.held ?? held ?? (staysBeside ? (known?.held ?? []) : []),
        ...(wait !== null && { wait }),
        ...(copiedAt !== undefined && { copiedAt }),
      },
      () => active?.packed() ?? new Uint8Array(0),
      kind === "rollback" || back !== null || wait !== null,
    );
  } finally {
    store.close();
  }
}

/** Returns how a change goes back; `to` is the entry of the rules before it. */
function newWait(until: string, to: number | null, texts: readonly UnheldText[]): Wait {
  // Without rules to stay with, a text is not turned away.
  const held = to === null ? [] : texts.map((text) => ({ ...text, to }));
  return { until, to, change: null, held };
}

/** Returns the wait after another change meanwhile, such as `ilm off`. */
function waitAfter(known: Entry | null): Wait | null {
  if (known?.wait === undefined) return null;
  return { ...known.wait, change: known.wait.change ?? known.number };
}

/** Causes that are told also where the last entry has the same rules. */
const isOfItself: Readonly<Partial<Record<Cause["kind"], true>>> = {
  rollback: true,
  confirm: true,
  back: true,
};

type StateFields = Pick<
  Entry,
  "netns" | "generation" | "appliedAt" | "format" | "mappings" | "off" | "digest" | "rules"
>;

function stateFields({ netnsCookie }: Place, active: Snapshot | null): StateFields {
  return {
    netns: netnsCookie,
    generation: active?.generation ?? null,
    appliedAt: active?.appliedAt ?? null,
    format: active?.format ?? 0,
    mappings: active === null ? 0 : countMappings(active.rules),
    off: active?.off ?? false,
    digest: active?.digest ?? null,
    rules: active === null ? null : keptRules(active),
  };
}

/** Returns the state that an entry tells of, where nothing is active. */
function stateOf({ netnsCookie }: Place, store: HistoryStore, entry: Entry): StateFields {
  const { appliedAt, format, mappings, off, digest, rules } = entry;
  const isKept = rules !== null && store.has(rules.fileDigest);
  const kept = { rules: isKept ? rules : null, generation: null, netns: netnsCookie };
  return { appliedAt, format, mappings, off, digest, ...kept };
}

function keptRules({
  rules: { sources, file, runtime, drained },
  fileDigest,
}: Snapshot): KeptRules {
  const { head, count } = file;
  // Of a file that was read, the head has the mappings, too.
  const { mappings: _, ...only } = { mappings: null, ...head };
  const ends = runtime.some(({ until }) => until !== undefined);
  const boot = ends && { boot: thisBoot() };
  const same = { sources, head: only, runtime, count, fileDigest, ...boot };
  return drained === undefined ? same : { ...same, drained };
}
