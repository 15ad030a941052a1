/** Collects what the metrics page says: of the kernel, and of the daemon where there is one. */
import { activeIfReadable } from "../control/active.js";
import { judgeOf } from "../dataplane/judge.js";
import type { DataPlane } from "../dataplane/types.js";
import { bootSeconds } from "../kernel/boot-time.js";
import { hasEnded } from "../model/mapping.js";
import { version } from "../version.js";
import { type DaemonMetrics, ofMappings, renderMetrics } from "./metrics.js";
import { readEndings } from "./ended.js";
import type { OpenCounts } from "./open-counts.js";
import type { RefusalCounts } from "./refusal-totals.js";

const noFlows = { live: 0, capacity: 0 };
const nobodyWatches = { readers: 0, dropped: 0 };
const noFaults = { untracked: 0, unplaced: 0, flows: 0, unanswered: 0, unsteered: 0 };

export interface CollectOptions {
  /** With more mappings than this, only their sums. */
  readonly limit: number;
  /** What was refused so far, by reason. */
  readonly refusals: RefusalCounts;
  /** Counts what is open. */
  readonly open: OpenCounts;
  /** Called last, when all else is collected; null without a daemon. */
  readonly daemon: (() => DaemonMetrics) | null;
}

/** Returns the metrics page in Prometheus text format 0.0.4. */
export function metricsPage(
  dataPlane: DataPlane,
  { limit, refusals, open, daemon }: CollectOptions,
): string {
  const active = activeIfReadable(dataPlane);
  const listeners = dataPlane.listeners();
  const now = bootSeconds();
  const own =
    active === null
      ? null
      : ofMappings(
          active.rules,
          {
            counters: {
              of: (indexes) => dataPlane.countersOf(indexes),
              total: () => dataPlane.counterTotal(),
            },
            listeners,
            endings: readEndings(dataPlane),
            now,
            judge: (rules) => judgeOf(dataPlane, rules),
            open: (rules) => open.of(dataPlane, rules, `${active.generation} ${active.appliedAt}`),
          },
          limit,
        );
  return renderMetrics({
    version,
    limit,
    netnsInode: dataPlane.netnsInode,
    loaded:
      active === null
        ? null
        : {
            generation: active.generation,
            appliedAt: active.appliedAt,
            pendingUntil: active.pending?.until ?? null,
            fileMappings: active.rules.file.count,
            runtimeMappings: active.rules.runtime.filter((one) => !hasEnded(one, now)).length,
            drained: active.rules.drained?.length ?? 0,
            lookups: own?.lookups ?? [],
            mappings: own?.mappings ?? null,
            open: own?.open ?? null,
            flows: dataPlane.flowCount() ?? noFlows,
            faults: dataPlane.faults() ?? noFaults,
            watching: dataPlane.watching() ?? nobodyWatches,
            refusals,
            off: active.off,
            missing: dataPlane.missing(),
            overtaken: dataPlane.overtaken(),
          },
    listeners: {
      tcp: listeners.filter((listener) => listener.protocol === "tcp").length,
      udp: listeners.filter((listener) => listener.protocol === "udp").length,
    },
    destinations: own?.destinations ?? [],
    daemon: daemon?.() ?? null,
  });
}
