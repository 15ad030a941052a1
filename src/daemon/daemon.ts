/**
 * `ilm run`: holds the writer's lock for life, keeps the wanted rules active, and serves the API.
 */
import { errorBody } from "../api/error-body.js";
import type { File } from "../config/read.js";
import { activeIfReadable } from "../control/active.js";
import { openDataPlane } from "../dataplane/open.js";
import type { ApplyOptions, DataPlane } from "../dataplane/types.js";
import { givenIn } from "../control/given.js";
import { IlmError } from "../errors.js";
import type { WriterLock } from "../kernel/lock.js";
import { describeLockHolder, findLockHolder } from "../kernel/lock-holder.js";
import { pathThatEnded } from "../kernel/netns.js";
import { nameProcess } from "../kernel/process-name.js";
import { findProcess, userName } from "../kernel/procfs.js";
import { giveBackMemory, trimMemory } from "../kernel/memory.js";
import { noActiveRules } from "../model/rules.js";
import { version } from "../version.js";
import { apiVersion, type ApiChange, type DaemonStatus, type DaemonVersion } from "../api/api.js";
import { requestStatus } from "../api/client.js";
import { socketExists, socketPath } from "../api/socket-path.js";
import { loadDesired, type RulesSource } from "../control/desired.js";
import { eventLog } from "./event-log.js";
import { EventStreams } from "./event-stream.js";
import { Events } from "./events.js";
import { followFile, type FileFollower } from "./follow-file.js";
import { keepGood, readGood } from "./last-good.js";
import { namesUnits } from "./ended.js";
import { HealthWatch, tellHealth } from "./health-watch.js";
import { keepApi } from "./keep-api.js";
import { keepFollowing } from "./keep-following.js";
import { KeptLock } from "./kept-lock.js";
import type { Logger } from "./log.js";
import { MemoryWatch } from "./memory.js";
import { Listings } from "./listing.js";
import { OpenCounts } from "./open-counts.js";
import { metricsPage } from "./collect.js";
import { type ListenAddress, serveMetrics } from "./metrics-server.js";
import { ownProcess } from "./own-process.js";
import { ownSocket } from "./own-socket.js";
import { mayPass, pauseAfter, untilItPasses } from "./passing.js";
import { Reconciler } from "./reconcile.js";
import { refusalLog } from "./refusal-log.js";
import { RefusalTotals } from "./refusal-totals.js";
import { serveApi } from "./server.js";
import { allFaults, mappedIn, readState } from "./state.js";
import type { ApiGroups, Peer } from "../api/rights.js";
import { authorOf } from "../kernel/author.js";
import { recordChange, recordEndOfWait } from "../control/history/record.js";
import { heldFor, rulesOfEntry } from "../control/history/roll-back.js";
import { ServiceManager } from "./service-manager.js";
import { refuseReplacement, replacedOf } from "../control/replacement.js";
import { awaitTurn } from "../control/turn.js";

export interface DaemonOptions extends Pick<ApplyOptions, "overNewer"> {
  readonly source: RulesSource;
  readonly log: Logger;
  /** Whose members have rights over the API. */
  readonly groups: ApiGroups;
  /** Where the metrics page is served over TCP. */
  readonly metrics: readonly ListenAddress[];
  /** With more mappings than this, the metrics page has only their sums. */
  readonly metricsLimit: number;
  /** True when mappings without a file may take the place of a file's. */
  readonly replace: boolean;
}

/**
 * How often to resynchronise. It finds what events missed: listeners, and files on file systems
 * without events.
 */
const RESYNC_MS = 30_000;
/** How often to check whether something was removed. A check costs some milliseconds. */
const REPAIR_MS = 1_000;
/** Why the daemon ends when its namespace has lost its name. */
const NAMELESS = "the namespace has lost its name";
/** How long a daemon that is being stopped may go on serving. */
const ENDING_MS = 2_000;

/**
 * Works until SIGTERM, SIGINT or an unload over the socket. The rules stay active, except after an
 * unload. Startup failures that may pass are retried. Throws when it cannot start: LOCKED,
 * CONFIGURATION (the previous rules stay active), and whatever opening the data plane throws. Ends
 * with NETNS when its namespace has lost its name.
 */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { log } = options;
  nameProcess("ilm");
  const dataPlane = openDataPlane();
  const end = endSignal();
  const manager = new ServiceManager(log);
  try {
    const { netnsInode } = dataPlane;
    const lock = new KeptLock(netnsInode, await takeLock(netnsInode, log, end.signal), log);
    try {
      await work({ ...options, dataPlane, end, manager, lock });
    } finally {
      lock.release();
    }
  } catch (error) {
    if (!isCalledOff(error, end.signal)) throw error;
    log.log("info", `${await end.reason}: ends before it was ready`);
  } finally {
    manager.close();
    end.dispose();
    dataPlane.close();
  }
  if ((await end.reason) === NAMELESS) {
    throw new IlmError("NETNS", "the path of --netns no longer leads to the daemon's namespace", {
      remedy:
        "Start it again once there is a namespace of that name; ilm@NAME.path does so by itself.",
    });
  }
}

/** Reports whether the error only means that the daemon was told to end while it waited. */
function isCalledOff(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  return error === signal.reason || (error instanceof Error && error.name === "AbortError");
}

/** Waits for the lock. Throws LOCKED when another daemon is running, and not about to end. */
async function takeLock(netnsInode: number, log: Logger, signal: AbortSignal): Promise<WriterLock> {
  let servedSince: number | null = null;
  const refuseBesideDaemon = async (): Promise<null> => {
    if (!socketExists(socketPath(netnsInode))) {
      servedSince = null;
      return null;
    }
    servedSince ??= performance.now();
    if (performance.now() - servedSince < ENDING_MS) return null;
    const holder = findLockHolder(netnsInode);
    if (holder === null || (await requestStatus(netnsInode)) === null) return null;
    throw new IlmError(
      "LOCKED",
      `another daemon is already running: ${describeLockHolder(holder)}`,
      {
        remedy: "Stop it first, or hand it the file: `ilm apply -f FILE`.",
      },
    );
  };
  return await untilItPasses(
    () => awaitTurn<never>({ netnsInode, instead: refuseBesideDaemon, signal }),
    log,
    signal,
  );
}

interface Work extends DaemonOptions {
  readonly dataPlane: DataPlane;
  readonly end: EndSignal;
  readonly manager: ServiceManager;
  readonly lock: KeptLock;
}

async function work({
  dataPlane,
  source,
  log,
  overNewer,
  groups,
  metrics,
  metricsLimit,
  replace,
  end,
  manager,
  lock,
}: Work): Promise<void> {
  const startedAt = new Date().toISOString();
  let followers: readonly FileFollower[] = [];
  let retry: NodeJS.Timeout | null = null;
  let failures = 0;
  /** Why the file is to be read once it is decided about a change that waits; null: it is not. */
  let postponed: string | null = null;
  const memory = new MemoryWatch({
    resident: () => process.memoryUsage.rss(),
    giveBack: giveBackMemory,
    trim: trimMemory,
  });
  const events = new Events();
  events.subscribe(eventLog(log));
  const health = new HealthWatch({
    faults: () => allFaults(dataPlane),
    isMapped: () => mappedIn(dataPlane),
    describe: ({ protocol, address, port, identity }) => {
      const services = activeIfReadable(dataPlane)?.rules.file.head.services ?? [];
      const unit = namesUnits(services)(identity);
      return { protocol, address, port, user: userName(identity.uid), unit };
    },
    tell: (what) => {
      tellHealth(events.tell, what);
    },
  });
  events.subscribe(({ event }) => {
    // Other mappings may be without a listener.
    if (event === "changed") health.look();
  });
  const warn = (message: string): void => {
    log.log("warning", message);
  };
  const reconciler = new Reconciler({
    dataPlane,
    log,
    tell: events.tell,
    load: (from, options) => loadDesired(from, { ...options, filesOnly: true, signal: end.signal }),
    source: takeOver(dataPlane, source, replace),
    onSource: follow,
    lastGood: readGood,
    history: {
      record: (cause, make) => recordChange(dataPlane, cause, warn, make),
      recordEndOfWait: () => recordEndOfWait(dataPlane, warn),
      held: (sources) => heldFor(dataPlane, sources),
      rulesOf: (entry) => rulesOfEntry(dataPlane, entry),
    },
    onGood: keep,
    onUnloaded: () => {
      end.now("unload");
    },
    onDecided: () => {
      const reason = postponed;
      postponed = null;
      if (reason === null) return;
      if (source.paths.length === 0 && source.mappings.length === 0) {
        // What is active is followed, and only now it is known which rules are.
        reconciler.follow(takeOver(dataPlane, source, replace));
      }
      reload("file", reason);
    },
    overNewer,
    onWorked: (isLarge) => {
      memory.worked(isLarge);
    },
  });

  function reload(kind: "reload" | "file", reason: string): void {
    if (retry !== null) clearTimeout(retry);
    retry = null;
    log.log("info", `${reason}: reading the configuration again`);
    manager.reloading();
    // The reconciler logs a refusal, and `status` shows it.
    reconciler.reload(kind).then(
      ({ generation }) => {
        failures = 0;
        manager.ready(`generation ${generation ?? 0} is active`);
      },
      (error: unknown) => {
        if (error instanceof IlmError && error.code === "PENDING") {
          postponed ??= reason;
          manager.ready("the configuration is read later");
          log.log("info", `${error.message}: the configuration is read after that`);
          return;
        }
        manager.ready("the configuration was refused; the previous rules stay active");
        if (!mayPass(error) || end.signal.aborted) return;
        failures += 1;
        const pause = pauseAfter(failures);
        log.log("info", `this may be temporary: trying again in ${pause / 1000} s`);
        retry = setTimeout(() => {
          reload(kind, "another attempt");
        }, pause);
      },
    );
  }

  /** A failure costs a later start its rules, if its file is wrong then: nothing else. */
  function keep(sources: readonly string[], files: readonly File[]): void {
    const warn = (why: string): void => {
      log.log("warning", `no copy of the configuration is kept: ${why}`);
    };
    keepGood(sources, files).then(
      (isKept) => {
        if (!isKept) warn("it is too large");
      },
      (error: unknown) => {
        warn(errorBody(error).message);
      },
    );
  }

  function follow(paths: readonly string[]): void {
    for (const follower of followers) follower.close();
    followers = paths.map((path) =>
      followFile(
        path,
        () => {
          reload("file", `${path} changed`);
        },
        () => {
          log.log(
            "warning",
            `the file system of ${path} does not answer: changes are not followed for now`,
          );
        },
      ),
    );
  }

  // Watch before reading, so that no change falls between the two.
  follow(reconciler.source.paths);
  const following = keepFollowing(dataPlane, log, {
    onRestored: (missing) => {
      reconciler.tellRestored(missing);
    },
    onTurned: (turn) => {
      health.turned(turn);
    },
    onRefused: refusalLog(dataPlane, { log, tell: events.tell }, { find: findProcess, userName }),
  });
  const refused = new RefusalTotals();
  const clock = setInterval(() => {
    for (const follower of followers) follower.check();
    void reconciler.resync();
    void reconciler.retry();
  }, RESYNC_MS);
  const guard = setInterval(() => {
    const path = pathThatEnded();
    if (path !== null) {
      log.log("error", `${path} is gone, or is another network namespace by now`);
      end.now(NAMELESS);
    }
    void reconciler.repair();
  }, REPAIR_MS);
  const onHangUp = (): void => {
    reload("reload", "SIGHUP");
  };
  process.on("SIGHUP", onHangUp);
  try {
    await Promise.race([Promise.all(followers.map(({ ready }) => ready)), end.reason]);
    const began = await untilItPasses(() => reconciler.begin(), log, end.signal);
    if (!began) postponed ??= "it is decided about the change";
    const own = ownSocket(dataPlane.netnsInode);
    // A separate data plane: what it unpacks of a million mappings goes when it is closed.
    const withOwn = <T>(read: (own: DataPlane) => T): T => {
      memory.worked();
      const own = openDataPlane();
      try {
        return read(own);
      } finally {
        own.close();
      }
    };
    const streams = new EventStreams(events, {
      hello: () => ({
        api: apiVersion,
        version,
        netns: dataPlane.netnsInode,
        generation: activeIfReadable(dataPlane)?.generation ?? null,
      }),
    });
    const open = new OpenCounts();
    const listings = new Listings({ withDataPlane: withOwn, open: (own) => open.live(own) });
    const handlers = {
      version: (): DaemonVersion => ({ api: apiVersion, version }),
      events: streams,
      status: (): DaemonStatus => ({
        pid: process.pid,
        version,
        startedAt,
        following: reconciler.source.paths[0] ?? null,
        followed: reconciler.source.paths,
        lastReload: reconciler.reloadState.last,
        reloads: { done: reconciler.reloadState.done, failed: reconciler.reloadState.failed },
      }),
      // Described while it waits for its answer, and cannot end.
      change: (change: ApiChange, { pid }: Peer) => reconciler.submit(change, authorOf(pid)),
      state: () => withOwn(readState),
      services: () => withOwn((own) => own.active()?.rules.file.head.services ?? []),
      mappings: (query: URLSearchParams) => listings.list(query),
      metrics: () => {
        memory.worked();
        const begun = performance.now();
        return metricsPage(dataPlane, {
          limit: metricsLimit,
          refusals: refused.add(dataPlane.refusals()),
          open,
          daemon: () => ({
            restored: reconciler.restored,
            reloads: {
              done: reconciler.reloadState.done,
              failed: reconciler.reloadState.failed,
              lastFailed: (reconciler.reloadState.last?.error ?? null) !== null,
            },
            durations: reconciler.durations,
            events: { readers: streams.readers, lost: streams.lost },
            process: ownProcess(),
            collectionSeconds: (performance.now() - begun) / 1000,
          }),
        });
      },
    };
    const server = await keepApi({
      path: own.path,
      serve: () => serveApi(own.path, handlers, { groups, log }),
      log,
      prepare: () => {
        lock.keep();
        own.keepLink();
      },
      settled: () => reconciler.idle(),
    });
    const pages = serveMetrics(metrics, { log, page: handlers.metrics });
    try {
      await Promise.race([pages.tried, end.reason]);
      manager.ready("the rules are active");
      health.look();
      log.log("info", `ready: network namespace ${dataPlane.netnsInode}, pid ${process.pid}`);
      const reason = await end.reason;
      manager.stopping();
      log.log(
        "info",
        reason === "unload" ? "ends: unloaded" : `${reason}: ends; the rules stay active`,
      );
    } finally {
      streams.close();
      pages.close();
      await server.close();
      own.removeLink();
      await reconciler.idle();
    }
  } finally {
    process.off("SIGHUP", onHangUp);
    clearInterval(clock);
    clearInterval(guard);
    if (retry !== null) clearTimeout(retry);
    memory.close();
    health.close();
    following.close();
    for (const follower of followers) follower.close();
  }
}

/**
 * Returns the source to follow. Without a file and mappings of its own, a daemon continues with
 * what the previous one, or `apply`, activated. Throws USAGE when its mappings would take the place
 * of a file's by mistake.
 */
function takeOver(dataPlane: DataPlane, source: RulesSource, replace: boolean): RulesSource {
  if (source.paths.length > 0) return source;
  if (source.mappings.length > 0) {
    if (!replace) refuseReplacement(replacedOf(activeIfReadable(dataPlane)?.rules));
    return source;
  }
  const rules = dataPlane.active()?.rules ?? noActiveRules;
  return { paths: rules.sources, mappings: givenIn(rules) };
}

interface EndSignal {
  /** Settles with the signal's name, or `unload`. */
  readonly reason: Promise<string>;
  /** Aborts what waits, once the reason is known. */
  readonly signal: AbortSignal;
  now(reason: string): void;
  dispose(): void;
}

function endSignal(): EndSignal {
  const { promise, resolve } = withResolvers<string>();
  const controller = new AbortController();
  const now = (reason: string): void => {
    resolve(reason);
    controller.abort(new IlmError("DAEMON", "the daemon is ending"));
  };
  const signals = ["SIGTERM", "SIGINT"] as const;
  for (const signal of signals) process.on(signal, now);
  return {
    reason: promise,
    signal: controller.signal,
    now,
    dispose() {
      for (const signal of signals) process.off(signal, now);
    },
  };
}

/** Promise.withResolvers, which node 20 lacks. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  const held: { resolve?: (value: T) => void } = {};
  const promise = new Promise<T>((resolve) => {
    held.resolve = resolve;
  });
  return { promise, resolve: (value) => held.resolve?.(value) };
}
