/**
 * Makes one change: through the daemon if there is one, otherwise here, under the writer's lock.
 */
import { activeIfReadable, rulesToRemove } from "./active.js";
import type { ApplyOptions, DataPlane } from "../dataplane/types.js";
import type { Revision } from "../model/revision.js";
import { beginStep, tellSteps, tellWait } from "../progress.js";
import { IlmError } from "../errors.js";
import { bootSeconds } from "../kernel/boot-time.js";
import {
  rulesAfter,
  withoutEnded,
  type ApplyChange,
  type Change,
  confirmSecondsOf,
  type DecisionChange,
  type ReapplyChange,
  type ReviseChange,
} from "../rules/change.js";
import { decided, switched, unloadedResult, type ChangeResult } from "../api/result.js";
import type { ApiChange, DaemonStatus } from "../api/api.js";
import { areSameSources } from "../model/sources.js";
import { requestChange, requestStatus } from "../api/client.js";
import { authorOf } from "../kernel/author.js";
import { recordChange } from "./history/record.js";
import {
  applyTarget,
  asDecision,
  makeReady,
  textsToConfirm,
  type Target,
} from "./history/roll-back.js";
import { awaitTurn } from "./turn.js";

export interface Performed extends ChangeResult {
  /** Who made the change. */
  readonly by: "daemon" | "command";
  /** What the daemon follows from now on; null when that is as it was. */
  readonly follows: readonly string[] | null;
}

export interface PerformOptions extends ApplyOptions {
  readonly waitSeconds?: number | undefined;
  /** Told why the change is not in the history. */
  readonly warn?: (message: string) => void;
}

/**
 * How long a daemon may take to show that it is alive. One that is busy with a change of a million
 * mappings answers late, but not that late.
 */
const ALIVE_TIMEOUT_MS = 10_000;

/**
 * Makes a change. Keeps asking for both daemon and lock: a daemon that starts has the lock before
 * its socket, and one that ends has them the other way round. Throws LOCKED when another writer
 * holds the lock for `waitSeconds` and has no socket, and whatever the change itself throws.
 */
export async function performChange(
  dataPlane: DataPlane,
  change: Change,
  { waitSeconds, warn = tellWait, ...options }: PerformOptions = {},
): Promise<Performed> {
  const { netnsInode } = dataPlane;
  beginStep("waiting for other writers");
  const { revision = null } = options;
  const instead = (): Promise<Followed | null> => handOver(dataPlane, change, revision);
  const turn = await awaitTurn({ netnsInode, waitSeconds, instead });
  if (!("release" in turn)) return { ...turn, by: "daemon" };
  try {
    const meant = asDecision(dataPlane, change);
    const ready = meant.kind === "rollback" ? await makeReady(dataPlane, meant) : null;
    const noted = ready?.noted ?? { unlessConfirmed: await textsToConfirm(meant) };
    const cause = { kind: meant.kind, author: authorOf(process.pid), ...noted };
    const result = recordChange(dataPlane, cause, warn, () =>
      changeHere(dataPlane, meant, ready?.target ?? null, options),
    );
    return { ...result, by: "command", follows: null };
  } finally {
    turn.release();
  }
}

type Followed = Omit<Performed, "by">;

/** Reports whether a change may let the daemon follow something else. */
export function mayFollow({ kind }: Pick<ApiChange, "kind">): boolean {
  return kind === "apply" || kind === "rollback";
}

/** Returns what a daemon follows now, when that is not what it followed before; null otherwise. */
export function followedSince(
  before: DaemonStatus,
  now: DaemonStatus | null,
): readonly string[] | null {
  return now === null || areSameSources(before.followed, now.followed) ? null : now.followed;
}

/**
 * Hands the change to the daemon. Returns null when no daemon listens. A small request finds out
 * whether it hangs, before the long wait.
 */
async function handOver(
  dataPlane: DataPlane,
  change: Change,
  revision: Revision | null,
): Promise<Followed | null> {
  const { netnsInode } = dataPlane;
  const alive = await requestStatus(netnsInode, { timeoutMs: ALIVE_TIMEOUT_MS });
  if (alive === null) return null;
  beginStep("waiting for the daemon");
  const ask = async (asked: ApiChange): Promise<Followed | null> => {
    const answered = await requestChange(netnsInode, asked);
    if (answered === null) return null;
    const { steps, ...result } = answered;
    tellSteps("run", steps);
    const now = mayFollow(change) ? await requestStatus(netnsInode) : null;
    return { ...result, follows: followedSince(alive, now) };
  };
  const short = change.kind === "apply" ? inShort(dataPlane, change, revision) : null;
  if (short !== null) {
    try {
      return await ask(short);
    } catch (error) {
      // Other rules have become active (NOT_FOUND), or the daemon's version does not know the
      // request, or it is too long (USAGE).
      const isRefused = error instanceof IlmError && ["NOT_FOUND", "USAGE"].includes(error.code);
      if (!isRefused) throw error;
    }
  }
  return ask(change);
}

/**
 * Shortens a change by leaving out what is already active. Returns null when the whole has to be
 * sent.
 */
function inShort(
  dataPlane: DataPlane,
  { sources, given, file, confirmSeconds }: ApplyChange,
  revision: Revision | null,
): ReapplyChange | ReviseChange | null {
  const active = activeIfReadable(dataPlane);
  const fileDigest = active?.fileDigest ?? null;
  if (active === null || fileDigest === null) return null;
  const { file: before } = active.rules;
  // A daemon that follows the file may have been faster.
  const result = before === file ? fileDigest : dataPlane.digestOf(sources, file);
  const asked = {
    sources,
    given,
    fileDigest,
    ...(confirmSeconds !== undefined && { confirmSeconds }),
  };
  if (result === fileDigest) return { kind: "reapply", ...asked };
  if (before !== revision?.of) return null;
  const { pieces, name } = revision;
  return { kind: "revise", ...asked, pieces, name, result };
}

function changeHere(
  dataPlane: DataPlane,
  change: Change,
  target: Target | null,
  options: ApplyOptions,
): ChangeResult {
  if (change.kind === "rollback") {
    if (target === null) throw new IlmError("INTERNAL", "a rollback has no target");
    return dataPlane.asOne(() => applyTarget(dataPlane, target, options));
  }
  if (change.kind === "confirm" || change.kind === "back") return decide(dataPlane, change);
  if (change.kind === "unload") {
    const before = rulesToRemove(dataPlane);
    return unloadedResult(before, dataPlane.unload());
  }
  if (change.kind === "off" || change.kind === "on") {
    const off = change.kind === "off";
    const changed = dataPlane.setOff(off);
    return switched(dataPlane.active()?.generation ?? 0, changed, off);
  }
  const confirmSeconds = confirmSecondsOf(change);
  return dataPlane.asOne(() => {
    // What has gone back is not what the change starts from.
    dataPlane.settleBack();
    // Only a whole configuration may replace what cannot be read.
    const before = change.kind === "apply" ? activeIfReadable(dataPlane) : dataPlane.active();
    const rules = before === null ? null : withoutEnded(before.rules, bootSeconds());
    return dataPlane.apply(rulesAfter(rules, change), { ...options, confirmSeconds });
  });
}

/** Keeps a change that waits for its confirmation, or takes it back. Throws NOT_FOUND. */
export function decide(dataPlane: DataPlane, { kind }: DecisionChange): ChangeResult {
  if (kind === "confirm") dataPlane.confirm();
  else dataPlane.goBack();
  return decided(dataPlane.active());
}
