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
import type { Entry, HeldText, KeptRules } from "./entry.js";
import { HistoryStore, type Place } from "./store.js";

/** What a change is recorded as. */
export interface Cause {
  readonly kind: Exclude<CauseKind, "found">;
  readonly author: Author;
  /** For a rollback: the entry that it leads to, and the texts that it turns away. */
  readonly to?: number;
  readonly held?: readonly HeldText[];
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
  /** The number of its entry, or of the last entry when nothing was active; null for none. */
  readonly number: number | null;
  /** What that entry says is turned away. */
  readonly held: readonly HeldText[];
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
  const before = orFailure(() => lookBefore(dataPlane));
  const result = make();
  if (!result.changed) return result;
  const written =
    before instanceof IlmError
      ? before
      : orFailure(() => {
          write(dataPlane, cause, before, result);
        });
  if (written instanceof IlmError) {
    warn(`the change is not in the history: ${errorBody(written).message}`);
  }
  return result;
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
    if (active === null) {
      return { number: last?.number ?? null, held: last?.held ?? [], unrecorded: null };
    }
    const known = entryOf(store, active);
    const isKept = store?.has(active.fileDigest) === true;
    if (known !== null && isKept) {
      return { number: known.number, held: known.held, unrecorded: null };
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
    return { number: last?.number ?? null, held: [], unrecorded };
  });
}

function write(
  dataPlane: Recorded,
  { kind, author, to, held }: Cause,
  { number, held: heldBefore, unrecorded }: Before,
  { difference }: Pick<ChangeResult, "difference">,
): void {
  const active = snapshotIfReadable(dataPlane);
  if (active === null && !isHostsNetns(dataPlane.netnsInode)) {
    removeRuntimeHistory(dataPlane.netnsInode);
    return;
  }
  const store = HistoryStore.make(dataPlane);
  try {
    let before = number;
    if (unrecorded !== null) {
      const { packed, entry } = unrecorded;
      before = store.add({ ...entry, before }, () => packed).number;
    }
    const [last] = store.entries();
    // After a boot, the same rules are the last change still.
    if (last !== undefined && isOf(last, active) && kind !== "rollback") return;
    store.add(
      {
        ...stateFields(dataPlane, active),
        time: new Date().toISOString(),
        cause: kind,
        author,
        before,
        to: to ?? null,
        difference,
        held: held ?? (isBesideFile[kind] ? heldBefore : []),
      },
      () => active?.packed() ?? new Uint8Array(0),
      kind === "rollback",
    );
  } finally {
    store.close();
  }
}

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
