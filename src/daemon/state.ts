/** What `ilm status` and `GET /v1/state` tell of the rules and of what they did. */
import type { DaemonState } from "../api/api.js";
import { judgeOf } from "../dataplane/judge.js";
import type { Active, DataPlane } from "../dataplane/types.js";
import type { Listener } from "../model/listener.js";
import { countMappings, emptyRules, readRules, type Rules } from "../model/rules.js";
import type { Judge } from "../rules/judge.js";
import { joinListeners } from "../rules/listening.js";

interface Parts {
  readonly active: Active | null;
  /** The active rules, read. */
  readonly rules: Rules | null;
  /** Judges listeners by the active rules. */
  readonly judge: Judge;
  readonly listeners: readonly Listener[];
}

/** Collects the state. Throws INCOMPATIBLE when it cannot be read. */
export function readState(dataPlane: DataPlane): DaemonState {
  const active = dataPlane.active();
  const listeners = active === null ? [] : dataPlane.listeners();
  const rules = active && readRules(active.rules);
  const judge = judgeOf(dataPlane, rules ?? emptyRules);
  return stateOf(dataPlane, { active, rules, judge, listeners });
}

/** Describes the state of which parts were read already. */
export function stateOf(
  dataPlane: DataPlane,
  { active, rules, judge, listeners }: Parts,
): DaemonState {
  return {
    loaded: active !== null,
    netns: dataPlane.netnsInode,
    off: active?.off ?? false,
    generation: active?.generation ?? null,
    appliedAt: active?.appliedAt ?? null,
    appliedBy: active?.version ?? null,
    earlierFormat: active?.earlierFormat ?? null,
    engine: active?.engine ?? null,
    mptcp: active === null ? null : (active.rules.file.head.mptcp ?? "on"),
    source: active?.rules.source ?? null,
    services: active?.rules.file.head.services.length ?? 0,
    mappings: active === null ? 0 : countMappings(active.rules),
    runtimeMappings: active?.rules.runtime.length ?? 0,
    listeners: active === null ? null : listeners.length,
    mappedListeners:
      rules === null
        ? null
        : joinListeners(rules, listeners, judge.selects).filter((view) => view.isMapped).length,
    lookups: active === null ? null : dataPlane.counterTotal(),
    flows: dataPlane.flowCount(),
    faults: dataPlane.faults(),
    pinPath: dataPlane.pinPath,
  };
}
