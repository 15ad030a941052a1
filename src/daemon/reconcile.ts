/**
 * Where wanted and active rules meet. Everything that wants a change - the file, a signal, the API,
 * the clock - goes through one queue, so that changes never overlap and each starts from what the
 * previous one left.
 */
import { setImmediate as immediate } from "node:timers/promises";
import { activeIfReadable, rulesToRemove } from "../control/active.js";
import { formatProblem, IlmError } from "../errors.js";
import { type ChangeSummary, noDifference } from "../rules/summary.js";
import type { ApplyOptions, DataPlane, Active } from "../dataplane/types.js";
import {
  type ActiveRules,
  countMappings,
  inMemory,
  noActiveRules,
  readRules,
} from "../model/rules.js";
import { type Revision, areSound, revise } from "../model/revision.js";
import { describeAdded, describeRemoved } from "../words/loopback.js";
import { timed } from "../progress.js";
import { type ApiChange } from "../api/api.js";
import { errorBody, foreseen, type ErrorBody } from "../api/error-body.js";
import { bootSeconds } from "../kernel/boot-time.js";
import {
  confirmSecondsOf,
  type DecisionChange,
  rulesAfter,
  withoutEnded,
  type Change,
  type ReapplyChange,
  type ReviseChange,
  type RollbackChange,
} from "../rules/change.js";
import {
  describeKfuncTrouble,
  describeLost,
  describeMissingInterface,
  describePending,
  describeRollback,
  describeTakenOver,
} from "../words/change.js";
import { mappingsLeftAlone } from "../rules/drained.js";
import { describeLeftAlone } from "../words/drained.js";
import { type Orphan, orphansOf } from "../rules/orphans.js";
import { describeOrphan } from "../words/orphans.js";
import { formatMoment } from "../words/text.js";
import { switched, unloadedResult, type AnsweredChange, type ChangeResult } from "../api/result.js";
import { decide } from "../control/perform.js";
import { refuseBesidePending } from "../dataplane/beside-pending.js";
import type { Desired, LoadOptions, RulesSource } from "../control/desired.js";
import type { File, ReadResult } from "../config/read.js";
import { areSameSources, listSources } from "../model/sources.js";
import { givenIn } from "../control/given.js";
import type { Entry } from "../control/history/entry.js";
import type { Holding } from "../control/history/roll-back.js";
import type { CauseKind } from "../model/causes.js";
import type { Cause } from "../control/history/record.js";
import { asDecision, makeReady, textsToConfirm } from "../control/history/roll-back.js";
import { authorOf, type Author } from "../kernel/author.js";
import type { Good } from "./last-good.js";
import { type DurationCounts, Durations } from "./durations.js";
import type { Tell } from "./events.js";
import type { Logger } from "./log.js";
import { Restored } from "./restored.js";

/**
 * From this many mappings on, memory is given back after a change. A mapping takes some 600 bytes
 * here.
 */
const LARGE_MAPPINGS = 10_000;
/** A refused file is tried again after this many times as long as the last attempt took. */
const RETRY_SHARE = 20;

export interface ReconcilerOptions extends Pick<ApplyOptions, "overNewer"> {
  readonly dataPlane: DataPlane;
  readonly log: Logger;
  /** Told what happened, which the log has from there. */
  readonly tell: Tell;
  /** Reads the file and the arguments again. */
  readonly load: (
    source: RulesSource,
    options: Pick<LoadOptions, "kept" | "stored">,
  ) => Promise<Desired>;
  /** What to follow at first. */
  readonly source: RulesSource;
  /** Returns what was right of a file last; null when nothing is known. */
  readonly lastGood?: (sources: readonly string[]) => Good | null;
  /** Called with files that were read whole, once their rules are active. */
  readonly onGood?: (sources: readonly string[], files: readonly File[]) => void;
  /** The history of changes; without one, nothing is recorded and nothing was rolled back. */
  readonly history?: ChangeHistory;
  /** Called whenever the followed files become different ones. */
  readonly onSource?: (paths: readonly string[]) => void;
  /** Called when a change that waited was confirmed, or has gone back. */
  readonly onDecided?: () => void;
  /** Called when the data plane was unloaded, which ends the daemon. */
  readonly onUnloaded?: () => void;
  /**
   * Called when a task is over, successful or not. `isLarge` says that it released rules that took
   * much memory.
   */
  readonly onWorked?: (isLarge: boolean) => void;
}

/** What the reconciler asks of the history, and tells it. */
export interface ChangeHistory {
  /** Makes a change and records it. */
  record<R extends Pick<ChangeResult, "changed" | "difference">>(cause: Cause, make: () => R): R;
  /**
   * Records what became of a change that waited for its confirmation, if no entry tells that.
   * Returns the entry, or null.
   */
  recordEndOfWait(): Entry | null;
  /** Tells what keeps the text of these files from being applied; null for nothing. */
  held(sources: readonly string[]): Promise<Holding | null>;
  /** Returns the rules of an entry. Throws NOT_FOUND when they are not kept. */
  rulesOf(entry: Entry): ActiveRules;
}

/** Who wants a reload: a user, the file that changed, or the start of the daemon. */
type ReloadKind = Extract<CauseKind, "reload" | "file" | "start">;

/** A change, and the revision that leads to what an apply asks for. */
interface Asked {
  readonly change: Change;
  readonly revision: Revision | null;
}

export interface ReloadState {
  readonly last: { readonly time: string; readonly error: ErrorBody | null } | null;
  readonly done: number;
  readonly failed: number;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #source: RulesSource;
  #queue: Promise<unknown> = Promise.resolve();
  /** A queued reload. Further requests share it. */
  #waitingReload: Promise<AnsweredChange> | null = null;
  #waitingKind: ReloadKind = "file";
  readonly #self: Author = authorOf(process.pid);
  /** When a refused file may be tried again, by performance.now(). */
  #retryAt = 0;
  #reload: ReloadState = { last: null, done: 0, failed: 0 };
  /** Waits until the next mapping ends that was added for a time. */
  #ending: NodeJS.Timeout | undefined;
  #unloaded = false;
  readonly #took: Readonly<Record<ApiChange["kind"], Durations>> = {
    apply: new Durations(),
    reapply: new Durations(),
    revise: new Durations(),
    add: new Durations(),
    remove: new Durations(),
    drain: new Durations(),
    undrain: new Durations(),
    off: new Durations(),
    on: new Durations(),
    reload: new Durations(),
    unload: new Durations(),
    rollback: new Durations(),
    confirm: new Durations(),
    back: new Durations(),
  };
  /** True while a change waits for its confirmation: no other process makes one meanwhile. */
  #waits = false;
  /** What to follow once the change that came with it is confirmed; null when none waits. */
  #unconfirmed: RulesSource | null = null;
  #restoredCount = 0;
  readonly #restored = new Restored(() => performance.now());
  /** True when the current task has replaced many mappings. */
  #wasLarge = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#source = options.source;
  }

  get source(): RulesSource {
    return this.#source;
  }

  /** How long changes took, by kind, without the wait for their turn. */
  get durations(): Readonly<Record<ApiChange["kind"], DurationCounts>> {
    const read = Object.entries(this.#took).map(([kind, took]) => [kind, took.read()]);
    return Object.fromEntries(read) as Record<ApiChange["kind"], DurationCounts>;
  }

  get reloadState(): ReloadState {
    return this.#reload;
  }

  /**
   * Queues a change. Rejects with an IlmError when it cannot be made; the active rules then do not
   * change.
   */
  submit(change: ApiChange, author = this.#self): Promise<AnsweredChange> {
    if (change.kind === "reapply" || change.kind === "revise") {
      return this.#enqueue(() =>
        this.#took[change.kind].measure(
          async () => await this.#make(this.#asApply(change), author),
        ),
      );
    }
    if (change.kind !== "reload") {
      return this.#enqueue(() =>
        this.#took[change.kind].measure(() => this.#make({ change, revision: null }, author)),
      );
    }
    return this.reload("reload", author);
  }

  /** Queues a reload. Rejects as `submit` does. */
  reload(kind: ReloadKind, author = this.#self): Promise<AnsweredChange> {
    // A user who asks must not get the answer that the file, as it was turned away, gets.
    if (this.#waitingReload !== null && (kind !== "reload" || this.#waitingKind === "reload")) {
      return this.#waitingReload;
    }
    const reload = this.#enqueue(() => {
      if (this.#waitingReload === reload) this.#waitingReload = null;
      return this.#took.reload.measure(() => this.#makeReload(kind, author));
    });
    this.#waitingReload = reload;
    this.#waitingKind = kind;
    return reload;
  }

  /**
   * Queues another attempt at a file that was refused: the reason may have gone without a change of
   * the file, such as a user that did not exist, or a tie with a mapping that `ilm add` added. The
   * same refusal is not logged again.
   */
  async retry(): Promise<void> {
    const { last } = this.#reload;
    if (last?.error?.code !== "CONFIGURATION" || this.#waits) return;
    await this.#enqueue(async () => {
      const error = this.#reload.last?.error ?? null;
      if (error === null || this.#unloaded || performance.now() < this.#retryAt) return;
      const began = performance.now();
      try {
        // What a rollback turned away comes back only when it changes, or when a user asks for it.
        if ((await this.#held()) !== null) return;
        await this.#loadAndPut({ kind: "file", author: this.#self, isQuiet: true });
        this.#options.log.log("info", "the configuration that was refused is active now");
        this.#reload = { ...this.#reload, last: noError(), done: this.#reload.done + 1 };
      } catch (failure) {
        const body = errorBody(failure);
        if (JSON.stringify(body) === JSON.stringify(error)) {
          // Reading a large file again and again must not keep the daemon busy.
          this.#retryAt = performance.now() + RETRY_SHARE * (performance.now() - began);
          return;
        }
        this.#reload = { ...this.#reload, last: { ...noError(), error: body } };
        this.#complain(body);
      }
    });
  }

  /**
   * Queues a reload, for a daemon that starts. If the file is wrong, what is active of it stays;
   * otherwise, what was right of it last becomes active. That the file is refused stays what
   * `reloadState` says. Rejects as `submit` does when there is neither. Returns false when a change
   * waits for its confirmation: the file is to be read after that.
   */
  async begin(): Promise<boolean> {
    try {
      // What waits for its confirmation is neither confirmed nor undone by a start.
      if (await this.#enqueue(() => Promise.resolve(this.#keepsPending()))) return false;
      await this.reload("start");
    } catch (error) {
      const { paths } = this.#source;
      const isWrong = error instanceof IlmError && error.code === "CONFIGURATION";
      if (!isWrong || paths.length === 0) throw error;
      const begins = await this.#enqueue(() => this.#beginWithout(paths));
      if (!begins) throw error;
    }
    return true;
  }

  /** Logs that a change waits for its confirmation; returns false when none does. */
  #keepsPending(): boolean {
    const { dataPlane, log } = this.#options;
    // An earlier process may have made one that has gone back by now, perhaps with the last boot.
    this.#waits = true;
    this.#settleBack();
    this.#options.history?.recordEndOfWait();
    const active = activeIfReadable(dataPlane);
    this.#waits = active !== null && active.pending !== null;
    if (active === null || active.pending === null) return false;
    const { rules } = active;
    this.#unconfirmed = { paths: rules.sources, mappings: givenIn(rules) };
    log.log(
      "warning",
      `generation ${active.generation} ${describePending(active.pending)}; the configuration is read after that`,
    );
    return true;
  }

  /** Follows something else from now on, before it is read. */
  follow(source: RulesSource): void {
    this.#follow(source);
  }

  /** Tidies up after a change that went back, which the kernel's programs have seen to. */
  #settleBack(): void {
    if (!this.#waits) return;
    const { dataPlane, log, history } = this.#options;
    const generation = dataPlane.settleBack();
    if (generation === null) return;
    const entry = history?.recordEndOfWait() ?? null;
    log.log(
      "warning",
      `the last change was not confirmed and went back: generation ${generation} decides again`,
      { generation },
    );
    this.#tellBack(entry?.difference ?? null);
    this.#decide(false);
  }

  /** Tells, as an event, that the rules before a change are active again. */
  #tellBack(difference: ChangeSummary | null): void {
    const active = activeIfReadable(this.#options.dataPlane);
    if (active === null) return;
    const { generation, rules } = active;
    const mappings = countMappings(rules);
    const told = difference ?? noDifference;
    this.#options.tell({ event: "changed", generation, mappings, ...told });
  }

  #decide(confirmed: boolean): void {
    const source = this.#unconfirmed;
    this.#waits = false;
    this.#unconfirmed = null;
    if (confirmed && source !== null) this.#followInstead(source);
    const active = activeIfReadable(this.#options.dataPlane);
    if (active !== null) this.#endInTime(active.rules);
    this.#options.onDecided?.();
  }

  /** Returns false when there is nothing to begin with. */
  async #beginWithout(paths: readonly string[]): Promise<boolean> {
    const { dataPlane, log, lastGood } = this.#options;
    const error = this.#reload.last?.error ?? null;
    const before = activeIfReadable(dataPlane);
    if (before !== null && areSameSources(before.rules.sources, paths)) {
      this.#put(before, before.rules);
      if (error !== null) this.#complain(error);
      return true;
    }
    const good = lastGood?.(paths) ?? null;
    if (good === null) return false;
    await this.#loadAndPut({
      kind: "start",
      author: this.#self,
      stored: good.read,
      copiedAt: good.keptAt,
    });
    if (error !== null) this.#complain(error);
    log.log(
      "error",
      `the rules are those of ${formatMoment(good.keptAt)}, when the configuration was right`,
    );
    return true;
  }

  /**
   * Queues a resynchronisation with the kernel's socket tables. A failure is logged, not thrown:
   * the next attempt may succeed.
   */
  async resync(): Promise<void> {
    await this.#enqueue(async () => {
      if (this.#unloaded) return;
      try {
        this.tellRestored(this.#options.dataPlane.resync());
      } catch (error) {
        this.#options.log.log("error", `resync failed: ${errorBody(error).message}`);
      }
    });
  }

  /**
   * Queues a check whether everything of ours is still there, and puts back what is gone. What goes
   * again and again is put back less and less often, up to a minute apart.
   */
  async repair(): Promise<void> {
    await this.#enqueue(async () => {
      if (this.#unloaded) return;
      const { dataPlane, log } = this.#options;
      try {
        this.#settleBack();
        if (dataPlane.isLost()) {
          // Rebuilt, it would no longer go back.
          if (this.#waits) return;
          if (this.#restored.isDue([dataPlane.pinPath])) await this.#restore();
        } else if (this.#restored.isDue(dataPlane.missing())) {
          this.tellRestored(dataPlane.repair());
        }
      } catch (error) {
        const { message } = errorBody(error);
        this.#restored.note([message]);
        log.log("error", `what is missing could not be put back: ${message}`);
      }
    });
  }

  /**
   * Recreates everything after the pins were lost: preferably from the file, otherwise from the
   * rules known to be active.
   */
  async #restore(): Promise<void> {
    const { dataPlane, log } = this.#options;
    this.#restored.note([dataPlane.pinPath]);
    log.log(
      "warning",
      `what was pinned below ${dataPlane.pinPath} is gone, incomplete or hidden by a mount: it is rebuilt`,
    );
    const before = dataPlane.active();
    try {
      const held = await this.#held();
      if (held === null) await this.#loadAndPut({ kind: "start", author: this.#self });
      else this.#put(before, before?.rules ?? held.rules);
    } catch (error) {
      if (before === null) throw error;
      log.log(
        "error",
        `from the rules that were active, because the configuration is refused: ${errorBody(error).message}`,
      );
      this.#put(before, before.rules);
    }
    this.#restoredCount += 1;
    log.log("warning", "everything is back, except the counts of faults");
  }

  /** How many things of ours were put back so far. */
  get restored(): number {
    return this.#restoredCount;
  }

  /** Tells, as one event, what had been removed and is back. */
  tellRestored(names: readonly string[]): void {
    if (names.length === 0) return;
    this.#restoredCount += names.length;
    this.#restored.note(names);
    this.#options.tell({ event: "restored", what: names });
  }

  /** Settles when everything queued so far is done. */
  async idle(): Promise<void> {
    await this.#queue;
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(task);
    // Each caller hears of its own failure; the queue continues.
    const over = async (): Promise<void> => {
      // Send the answer first.
      await immediate();
      this.#settle();
      this.#options.onWorked?.(this.#wasLarge);
      this.#wasLarge = false;
    };
    this.#queue = result.then(over, over);
    return result;
  }

  #settle(): void {
    try {
      this.#options.dataPlane.settle();
    } catch (error) {
      const { message } = errorBody(error);
      this.#options.log.log(
        "error",
        `the last change is not finished, and the next one will finish it: ${message}`,
      );
    }
  }

  #record<R extends Pick<ChangeResult, "changed" | "difference">>(cause: Cause, make: () => R): R {
    const { history } = this.#options;
    return history === undefined ? make() : history.record(cause, make);
  }

  /** Tells what holds back what is followed, with the rules that stay; null for nothing. */
  async #held(): Promise<(Holding & { readonly rules: ActiveRules }) | null> {
    const { history } = this.#options;
    const { paths } = this.#source;
    const holding = paths.length === 0 ? null : ((await history?.held(paths)) ?? null);
    if (holding === null || history === undefined) return null;
    return { ...holding, rules: history.rulesOf(holding.entry) };
  }

  async #make({ change: asked, revision }: Asked, author: Author): Promise<AnsweredChange> {
    if (this.#unloaded) {
      throw new IlmError("DAEMON", "the daemon has unloaded the rules and is ending", {
        remedy: "Try again in a moment.",
      });
    }
    if (asked.kind === "unload") {
      return { ...this.#record({ kind: "unload", author }, () => this.#unload()), steps: [] };
    }
    this.#settleBack();
    const change = asDecision(this.#options.dataPlane, asked);
    const { kind } = change;
    if (kind === "off" || kind === "on") {
      return { ...this.#record({ kind, author }, () => this.#switch(kind)), steps: [] };
    }
    if (kind === "rollback") return await this.#rollBack(change, author);
    if (kind === "confirm" || kind === "back") {
      return { ...this.#decideNow(change, author), steps: [] };
    }
    const { dataPlane, log } = this.#options;
    const confirmSeconds = confirmSecondsOf(change);
    const unlessConfirmed = await textsToConfirm(change);
    const { result, steps } = timed(() =>
      this.#record({ kind, author, unlessConfirmed }, () =>
        dataPlane.asOne(() => {
          // Only a whole configuration may replace what cannot be read.
          const isWhole = kind === "apply";
          const before = isWhole ? activeIfReadable(dataPlane) : dataPlane.active();
          const rules = before === null ? null : withoutEnded(before.rules, bootSeconds());
          return this.#put(before, rulesAfter(rules, change), { revision, confirmSeconds });
        }),
      ),
    );
    const source = kind === "apply" ? { paths: change.sources, mappings: change.given } : null;
    if (result.pending !== null) {
      const { generation, pending } = result;
      this.#waits = true;
      this.#unconfirmed = source;
      log.log("warning", `generation ${generation} ${describePending(pending)}`);
    } else if (source !== null) this.#followInstead(source);
    else void this.retry();
    return { ...result, steps };
  }

  /** Keeps a change that waits for its confirmation, or takes it back. */
  #decideNow(change: DecisionChange, author: Author): ChangeResult {
    const { dataPlane, log } = this.#options;
    const { kind } = change;
    const result = this.#record({ kind, author }, () => decide(dataPlane, change));
    const confirmed = kind === "confirm";
    log.log(
      "info",
      confirmed
        ? `generation ${result.generation ?? 0} is confirmed`
        : `the last change is taken back: generation ${result.generation ?? 0} decides again`,
    );
    if (!confirmed) this.#tellBack(result.difference);
    this.#decide(confirmed);
    return result;
  }

  async #rollBack(change: RollbackChange, author: Author): Promise<AnsweredChange> {
    const { dataPlane, log } = this.#options;
    const { target, noted } = await makeReady(dataPlane, change);
    const { result, steps } = timed(() =>
      this.#record({ kind: "rollback", author, ...noted }, () =>
        dataPlane.asOne(() => {
          const before = activeIfReadable(dataPlane);
          const put = this.#put(before, target.rules);
          const switched =
            put.off !== target.off && this.#switch(target.off ? "off" : "on").changed;
          return { ...put, off: target.off, changed: put.changed || switched };
        }),
      ),
    );
    const { sources } = target.rules;
    log.log(
      "warning",
      describeRollback(
        target.entry.number,
        noted.held === undefined || noted.held.length === 0 ? [] : sources,
      ),
    );
    const source = { paths: sources, mappings: givenIn(target.rules) };
    // A file that was refused and is followed still is refused still.
    if (areSameSources(sources, this.#source.paths)) this.#follow(source);
    else this.#followInstead(source);
    return { ...result, steps };
  }

  /** Follows what was applied in the place of what was followed before. */
  #followInstead(source: RulesSource): void {
    // What was wrong with the file before says nothing about these rules.
    const { last } = this.#reload;
    if (last !== null && last.error !== null) this.#reload = { ...this.#reload, last: null };
    this.#follow(source);
  }

  #asApply(change: ReapplyChange | ReviseChange): Asked {
    const { sources, given, fileDigest, confirmSeconds } = change;
    const asked = { sources, given, ...(confirmSeconds !== undefined && { confirmSeconds }) };
    const { dataPlane } = this.#options;
    const active = activeIfReadable(dataPlane);
    const isThere = change.kind === "revise" && active?.fileDigest === change.result;
    if (active === null || (active.fileDigest !== fileDigest && !isThere)) {
      throw new IlmError("NOT_FOUND", `rules with the digest ${fileDigest} are not active`, {
        remedy: "Apply the whole file.",
      });
    }
    const { file } = active.rules;
    if (change.kind === "reapply" || isThere) {
      return { change: { kind: "apply", ...asked, file }, revision: null };
    }
    const { pieces, name } = change;
    const revision = { of: file, pieces, name };
    const revised = areSound(pieces, file.count) ? inMemory(revise(revision)) : null;
    if (revised === null || dataPlane.keptText()?.fits?.(revised, revision) !== true) {
      throw new IlmError("NOT_FOUND", "these pieces do not fit the active rules", {
        remedy: "Apply the whole file.",
      });
    }
    return { change: { kind: "apply", ...asked, file: revised }, revision };
  }

  async #makeReload(kind: ReloadKind, author: Author): Promise<AnsweredChange> {
    this.#retryAt = 0;
    try {
      this.#settleBack();
      const active = this.#waits ? activeIfReadable(this.#options.dataPlane) : null;
      if (active !== null) refuseBesidePending(active.generation, active.pending);
      const held = kind === "reload" ? null : await this.#held();
      const result =
        held === null ? await this.#loadAndPut({ kind, author }) : this.#stay(held, held.rules);
      this.#reload = {
        last: noError(),
        done: this.#reload.done + 1,
        failed: this.#reload.failed,
      };
      return { ...result, steps: [] };
    } catch (error) {
      const body = errorBody(error);
      // Not a failure of the file: it is read later.
      if (body.code === "PENDING") throw error;
      this.#reload = {
        last: { time: new Date().toISOString(), error: body },
        done: this.#reload.done,
        failed: this.#reload.failed + 1,
      };
      // The first time, the caller ends with the error and reports it.
      if (this.#reload.done > 0 && body.code !== "DAEMON") this.#complain(body);
      throw error;
    }
  }

  /** Stays with the rules of a rollback, as the file has what was turned away. */
  #stay({ entry, to }: Holding, rules: ActiveRules): ChangeResult {
    const { dataPlane, log } = this.#options;
    const before = activeIfReadable(dataPlane);
    // After a boot, mappings may have ended, and others end at another second since it.
    const { held, copiedAt } = entry;
    const cause = { kind: "start", author: this.#self, held, copiedAt } as const;
    const result = this.#record(cause, () => this.#put(before, before?.rules ?? rules));
    log.log("warning", describeRollback(to, this.#source.paths));
    return result;
  }

  async #loadAndPut({
    kind,
    author,
    stored,
    copiedAt,
    isQuiet = false,
  }: Loading): Promise<ChangeResult> {
    if (this.#unloaded) {
      throw new IlmError("DAEMON", "the daemon has unloaded the rules and is ending");
    }
    const { dataPlane, load, log } = this.#options;
    const isWhole = this.#source.paths.length > 0 || this.#source.mappings.length > 0;
    const before = isWhole ? activeIfReadable(dataPlane) : dataPlane.active();
    if (!isWhole) {
      // There is nothing to read: what is active (or nothing at all) is what is wanted.
      const active = before === null ? null : withoutEnded(before.rules, bootSeconds());
      const rules = active ?? rulesAfter(null, nothingFromFile);
      return this.#record({ kind, author }, () => this.#put(before, rules));
    }
    const loaded = await load(this.#source, {
      kept: () => dataPlane.keptText(),
      ...(stored !== undefined && { stored }),
    });
    const { sources, given, file, warnings, revision, compiled, text, files } = loaded;
    const warn = (): void => {
      for (const warning of warnings) log.log("warning", formatProblem(warning));
    };
    if (!isQuiet) warn();
    const change = { kind: "apply", sources, given, file } as const;
    const active = before === null ? null : withoutEnded(before.rules, bootSeconds());
    const rules = rulesAfter(active, change);
    const result = this.#record({ kind, author, copiedAt }, () =>
      this.#put(before, rules, { revision, compiled }),
    );
    if (isQuiet) warn();
    if (text !== null) dataPlane.keepText(rules, text);
    if (stored === undefined && sources.length > 0 && files !== null) {
      this.#options.onGood?.(sources, files);
    }
    return result;
  }

  #put(
    before: Active | null,
    rules: ActiveRules,
    how: Pick<ApplyOptions, "revision" | "compiled" | "confirmSeconds"> = {},
  ): ChangeResult {
    const { dataPlane, log, tell, overNewer } = this.#options;
    const result = dataPlane.apply(rules, { ...how, overNewer, settleLater: true });
    const { generation, changed, mappings } = result;
    this.#endInTime(rules);
    if (changed && !result.incremental) {
      const replaced = before === null ? 0 : countMappings(before.rules);
      this.#wasLarge = Math.max(replaced, mappings) >= LARGE_MAPPINGS;
    }
    if (changed) {
      tell({ event: "changed", generation, mappings, ...(result.difference ?? noDifference) });
    } else {
      log.log("info", `generation ${generation} stays active: nothing to change`, {
        generation,
        changed,
      });
    }
    if (changed && rules.drained !== undefined && rules.drained.length > 0) {
      const names = mappingsLeftAlone(readRules(rules));
      if (names.length > 0) log.log("warning", describeLeftAlone(names));
    }
    const known = new Set(before === null ? [] : orphansIn(before.rules).map(describeOrphan));
    for (const message of orphansIn(rules).map(describeOrphan)) {
      if (!known.has(message)) log.log("warning", message);
    }
    if (result.takenOverFormat !== null) log.log("info", describeTakenOver(result.takenOverFormat));
    if (result.lost !== null) log.log("warning", describeLost(result.lost));
    this.tellRestored(result.repaired);
    for (const one of result.addressesAdded) log.log("info", describeAdded(one));
    for (const one of result.addressesRemoved) log.log("info", describeRemoved(one));
    for (const name of result.interfacesMissing) {
      log.log("warning", describeMissingInterface(name));
    }
    if (result.kfuncTrouble !== null) {
      log.log("warning", describeKfuncTrouble(result.kfuncTrouble));
    }
    return result;
  }

  /** Removes mappings for a time when they end. Until then they are passed over anyway. */
  #endInTime({ runtime }: ActiveRules): void {
    clearTimeout(this.#ending);
    const next = Math.min(...runtime.map(({ until = Infinity }) => until));
    if (next === Infinity) return;
    const wait = Math.min((next - bootSeconds()) * 1000, LONGEST_TIMER_MS);
    this.#ending = setTimeout(() => void this.#end(), Math.max(0, wait)).unref();
  }

  async #end(): Promise<void> {
    await this.#enqueue(async () => {
      // The programs pass over what has ended; the rest is done once it is known which rules stay.
      if (this.#unloaded || this.#waits) return;
      const { dataPlane, log } = this.#options;
      try {
        const before = activeIfReadable(dataPlane);
        if (before === null) return;
        const rules = withoutEnded(before.rules, bootSeconds());
        if (rules === before.rules) {
          this.#endInTime(rules);
          return;
        }
        const stays = new Set(rules.runtime);
        for (const mapping of before.rules.runtime) {
          if (stays.has(mapping)) continue;
          log.log(
            "info",
            `the mapping ${mapping.name} (${mapping.protocol}) was added for a time, and has ended`,
          );
        }
        this.#record({ kind: "ended", author: this.#self }, () => this.#put(before, rules));
      } catch (error) {
        const { message } = errorBody(error);
        log.log("error", `mappings that have ended are still there, without effect: ${message}`);
      }
    });
  }

  #switch(to: "off" | "on"): ChangeResult {
    const { dataPlane, tell } = this.#options;
    const changed = dataPlane.setOff(to === "off");
    if (changed) tell({ event: "switched", to });
    return switched(dataPlane.active()?.generation ?? 0, changed, to === "off");
  }

  #unload(): ChangeResult {
    const { dataPlane, tell, onUnloaded } = this.#options;
    const before = rulesToRemove(dataPlane);
    const changed = dataPlane.unload();
    this.#unloaded = true;
    tell({ event: "unloaded" });
    onUnloaded?.();
    return unloadedResult(before, changed);
  }

  #follow(source: RulesSource): void {
    const { paths } = source;
    const moved = !areSameSources(paths, this.#source.paths);
    this.#source = source;
    if (!moved) return;
    this.#options.log.log(
      "info",
      paths.length === 0
        ? "the applied rules come from no file: no file is followed any more"
        : `following ${listSources(paths)} from now on`,
    );
    this.#options.onSource?.(paths);
  }

  /**
   * Returns the active generation, or null when there is none. Returns undefined when it cannot be
   * determined at the moment, which is no reason to withhold an error.
   */
  #generation(): number | null | undefined {
    try {
      return activeIfReadable(this.#options.dataPlane)?.generation ?? null;
    } catch (error) {
      if (foreseen(error)?.code === "UNAVAILABLE") return undefined;
      throw error;
    }
  }

  #complain(error: ErrorBody): void {
    const { log, tell } = this.#options;
    const generation = this.#generation();
    tell({ event: "reload-refused", error });
    log.log(
      "error",
      generation === undefined
        ? "the active rules stay active"
        : generation === null
          ? "no rules are active"
          : `generation ${generation} stays active${error.code === "CONFIGURATION" ? "; fix the file, and it is re-read automatically" : ""}`,
    );
  }
}

/** What timers can wait at most (32 bits of milliseconds, with a sign). */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Loading {
  readonly kind: ReloadKind;
  readonly author: Author;
  /** What to read in the place of the file. */
  readonly stored?: ReadResult;
  /** When that was right: ISO 8601, UTC. */
  readonly copiedAt?: string;
  /** Log warnings only when the rules become active. */
  readonly isQuiet?: boolean;
}

function noError(): NonNullable<ReloadState["last"]> {
  return { time: new Date().toISOString(), error: null };
}

const nothingFromFile: Change & { kind: "apply" } = {
  kind: "apply",
  sources: [],
  given: [],
  file: noActiveRules.file,
};

function orphansIn({ runtime, file }: ActiveRules): readonly Orphan[] {
  return orphansOf({ runtime, services: file.head.services, now: bootSeconds() });
}
