/** `ilm run`: holds the writer's lock for its life, keeps what is wanted in force, and serves the API. */
import { replaceableInForce } from "./in-force.js";
import { openDataPlane } from "../dataplane/open.js";
import type { DataPlane } from "../dataplane/types.js";
import { diffRules } from "../compile/diff.js";
import { formatMappingArgument } from "../config/argument.js";
import { acquireWriterLock } from "../kernel/lock.js";
import { giveBackMemory } from "../kernel/memory.js";
import { monotonicMicroseconds, sdNotify } from "../kernel/notify.js";
import { emptyRules, type Rules } from "../model/mapping.js";
import { version } from "../version.js";
import { type DaemonStatus } from "./api.js";
import { socketPath } from "./socket-path.js";
import { loadDesired, type Source } from "./desired.js";
import { followFile, type FileFollower } from "./follow-file.js";
import type { Logger } from "./log.js";
import { MemoryWatch } from "./memory.js";
import { ofMappings, renderMetrics } from "./metrics.js";
import { Reconciler } from "./reconcile.js";
import { serveApi } from "./server.js";

export interface DaemonOptions {
  readonly source: Source;
  readonly log: Logger;
}

/** Heals what an event was missed for: listeners, and files on file systems that send no events. */
const RESYNC_MS = 30_000;

/**
 * Works until SIGTERM, SIGINT or an unload over the socket; the rules stay in force, except after an unload.
 * Throws when it cannot begin: LOCKED, CONFIGURATION (what was in force before stays), and what opening the data plane throws.
 */
export async function runDaemon({ source, log }: DaemonOptions): Promise<void> {
  const dataPlane = openDataPlane();
  try {
    const lock = acquireWriterLock(dataPlane.netnsInode, { waitMs: 2_000 });
    try {
      await work(dataPlane, source, log);
    } finally {
      lock.release();
    }
  } finally {
    dataPlane.close();
  }
}

async function work(dataPlane: DataPlane, source: Source, log: Logger): Promise<void> {
  const startedAt = new Date().toISOString();
  const end = endSignal();
  let follower: FileFollower | null = null;
  const memory = new MemoryWatch({
    resident: () => process.memoryUsage.rss(),
    giveBack: giveBackMemory,
  });
  const reconciler = new Reconciler({
    dataPlane,
    log,
    load: loadDesired,
    source: takeOver(dataPlane, source),
    onSource: follow,
    onUnloaded: () => {
      end.now("unload");
    },
    describe: describeChange,
    onWorked: (isLarge) => {
      memory.worked(isLarge);
    },
  });

  function reload(reason: string): void {
    log.log("info", `${reason}: reading the configuration again`);
    sdNotify(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds()}`);
    // A refusal is logged by the reconciler and shown by `status`.
    reconciler.submit({ kind: "reload" }).then(
      ({ generation }) => {
        sdNotify(`READY=1\nSTATUS=generation ${generation ?? 0} in force`);
      },
      () => {
        sdNotify(
          "READY=1\nSTATUS=the configuration was refused; the rules before it stay in force",
        );
      },
    );
  }

  function follow(path: string | null): void {
    follower?.close();
    follower =
      path === null
        ? null
        : followFile(path, () => {
            reload(`${path} changed`);
          });
  }

  // Watching begins before reading, so that no change falls between the two.
  follow(reconciler.source.path);
  const following = dataPlane.follow();
  const clock = setInterval(() => {
    follower?.check();
    void reconciler.resync();
  }, RESYNC_MS);
  const onHangUp = (): void => {
    reload("SIGHUP");
  };
  process.on("SIGHUP", onHangUp);
  try {
    await reconciler.submit({ kind: "reload" });
    const server = await serveApi(socketPath(dataPlane.netnsInode), {
      status: (): DaemonStatus => ({
        pid: process.pid,
        version,
        startedAt,
        following: reconciler.source.path,
        lastReload: reconciler.reloadState.last,
        reloads: { done: reconciler.reloadState.done, failed: reconciler.reloadState.failed },
      }),
      change: (change) => reconciler.submit(change),
      metrics: () => {
        memory.worked();
        return metricsOf(dataPlane, reconciler);
      },
    });
    try {
      sdNotify("READY=1\nSTATUS=rules in force");
      log.log("info", `ready: network namespace ${dataPlane.netnsInode}, pid ${process.pid}`);
      const reason = await end.reason;
      sdNotify("STOPPING=1");
      log.log(
        "info",
        reason === "unload" ? "ends: unloaded" : `${reason}: ends; the rules stay in force`,
      );
    } finally {
      await server.close();
      await reconciler.idle();
    }
  } finally {
    process.off("SIGHUP", onHangUp);
    clearInterval(clock);
    memory.close();
    following.close();
    // Assigned in a function, which control flow analysis does not see.
    (follower as FileFollower | null)?.close();
    end.dispose();
  }
}

/** Without a file and mappings of its own, a daemon goes on with what the one before it, or `apply`, put in force. */
function takeOver(dataPlane: DataPlane, source: Source): Source {
  if (source.path !== null || source.mappings.length > 0) return source;
  const rules = replaceableInForce(dataPlane)?.rules ?? emptyRules;
  const given = rules.file.mappings.filter((mapping) => mapping.origin.file === "<argument>");
  return { path: rules.source, mappings: given.map((mapping) => formatMappingArgument(mapping)) };
}

function describeChange(before: Rules | null, after: Rules, mappings: number): string {
  const { added, removed, changed } = diffRules(before ?? emptyRules, after);
  const parts = [
    `${mappings} mappings`,
    names("added", added),
    names("removed", removed),
    names(
      "changed",
      changed.map((one) => one.after),
    ),
  ];
  return parts.filter((part) => part !== "").join(", ");
}

function names(word: string, mappings: readonly { readonly name: string }[]): string {
  if (mappings.length === 0) return "";
  if (mappings.length > 5) return `${mappings.length} ${word}`;
  return `${word} ${[...new Set(mappings.map((mapping) => mapping.name))].join(" ")}`;
}

const noFlows = { live: 0, capacity: 0 };
const noFaults = { untracked: 0, unplaced: 0, flows: 0, unanswered: 0, unsteered: 0 };

function metricsOf(dataPlane: DataPlane, reconciler: Reconciler): string {
  const inForce = replaceableInForce(dataPlane);
  const listeners = dataPlane.listeners();
  const { lookups, destinations } =
    inForce === null
      ? { lookups: [], destinations: [] }
      : ofMappings(inForce.rules, dataPlane.counters(), listeners);
  const { done, failed, last } = reconciler.reloadState;
  return renderMetrics({
    version,
    netnsInode: dataPlane.netnsInode,
    loaded:
      inForce === null
        ? null
        : {
            generation: inForce.generation,
            appliedAt: inForce.appliedAt,
            fileMappings: inForce.rules.file.mappings.length,
            runtimeMappings: inForce.rules.runtime.length,
            lookups,
            flows: dataPlane.flowCount() ?? noFlows,
            faults: dataPlane.faults() ?? noFaults,
          },
    listeners: {
      tcp: listeners.filter((listener) => listener.protocol === "tcp").length,
      udp: listeners.filter((listener) => listener.protocol === "udp").length,
    },
    destinations,
    reloads: { done, failed, lastFailed: last !== null && last.error !== null },
  });
}

interface EndSignal {
  /** Settles with the signal's name, or `unload`. */
  readonly reason: Promise<string>;
  now(reason: string): void;
  dispose(): void;
}

function endSignal(): EndSignal {
  const { promise, resolve } = withResolvers<string>();
  const signals = ["SIGTERM", "SIGINT"] as const;
  for (const signal of signals) process.on(signal, resolve);
  return {
    reason: promise,
    now: resolve,
    dispose() {
      for (const signal of signals) process.off(signal, resolve);
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
