/** What `ilm status` and `GET /v1/state` tell of the rules and of what they did. */
import type { DaemonState } from "../api/api.js";
import { activeIfReadable } from "../control/active.js";
import { givenBeside } from "../control/given.js";
import { copiedAt } from "../control/history/copied.js";
import { drainedShape } from "../api/mapping-shape.js";
import { judgeOf } from "../dataplane/judge.js";
import type { Active, DataPlane } from "../dataplane/types.js";
import type { Listener } from "../model/listener.js";
import { type Mapping, hasEnded, isRefusal, mappingKey } from "../model/mapping.js";
import { allMappings, countMappings, emptyRules, readRules, type Rules } from "../model/rules.js";
import type { Judge } from "../rules/judge.js";
import type { Endings } from "../rules/endings.js";
import { healthOf } from "../rules/health.js";
import { bootSeconds } from "../kernel/boot-time.js";
import { readEndings } from "./ended.js";
import { type Faults, findFaults } from "./faults.js";
import { LISTED_MAPPINGS_MAX } from "./metrics.js";

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

/** The maximum number of mappings of one kind that are named. */
const NAMED = 20;

/**
 * Returns all that is wrong with mappings; null when nothing is loaded, or there are too many
 * mappings to look through them each time.
 */
export function allFaults(dataPlane: DataPlane): Faults | null {
  const active = activeIfReadable(dataPlane);
  if (active === null || countMappings(active.rules) > LISTED_MAPPINGS_MAX) return null;
  const rules = readRules(active.rules);
  const { selects } = judgeOf(dataPlane, rules);
  const listeners = dataPlane.listeners();
  const health = healthOf(rules, { listeners, selects, now: bootSeconds() });
  return findFaults(rules, health, { endings: readEndings(dataPlane), limit: Infinity });
}

/**
 * Returns a function that reports whether the active rules have a mapping of that name and protocol
 * that leads somewhere.
 */
export function mappedIn(
  dataPlane: DataPlane,
): (mapping: Pick<Mapping, "name" | "protocol">) => boolean {
  const active = activeIfReadable(dataPlane);
  const mappings = active === null ? [] : allMappings(readRules(active.rules));
  const known = new Set<string>();
  const now = bootSeconds();
  for (const mapping of mappings) {
    if (!isRefusal(mapping) && !hasEnded(mapping, now)) known.add(mappingKey(mapping));
  }
  return (mapping) => known.has(mappingKey(mapping));
}

type Served = Pick<
  DaemonState,
  "mappedListeners" | "unserved" | "drainedMappings" | "gaps" | "degraded" | "full"
>;

const nothingServed: Served = {
  mappedListeners: null,
  unserved: null,
  drainedMappings: null,
  gaps: null,
  degraded: null,
  full: null,
};

/** Joins the rules with the listeners: how many are led to, and what is wrong with mappings. */
function servedBy(
  rules: Rules,
  judge: Judge,
  listeners: readonly Listener[],
  endings: Endings,
): Served & { readonly over: number } {
  const mappings = allMappings(rules);
  const health = healthOf(rules, { listeners, selects: judge.selects, now: bootSeconds() });
  const full = health.full(NAMED);
  return {
    mappedListeners: health.joined.views().filter((view) => view.isMapped).length,
    ...findFaults(rules, health, { endings, limit: NAMED }),
    full: {
      count: full.count,
      mappings: full.first.flatMap(({ index, listener: { protocol, address, port, queue } }) => {
        const name = mappings.at(index)?.name;
        return name === undefined ? [] : [{ name, protocol, address, port, queue }];
      }),
    },
  };
}

/** Describes the state of which parts were read already. */
export function stateOf(
  dataPlane: DataPlane,
  { active, rules, judge, listeners }: Parts,
): DaemonState {
  const { over, ...served } =
    rules === null
      ? { over: 0, ...nothingServed }
      : servedBy(rules, judge, listeners, readEndings(dataPlane));
  return {
    loaded: active !== null,
    netns: dataPlane.netnsInode,
    off: active?.off ?? false,
    generation: active?.generation ?? null,
    pending: active?.pending ?? null,
    wentBackAt: active?.wentBackAt ?? null,
    appliedAt: active?.appliedAt ?? null,
    appliedBy: active?.version ?? null,
    earlierFormat: active?.earlierFormat ?? null,
    engine: active?.engine ?? null,
    mptcp: active === null ? null : (active.rules.file.head.mptcp ?? "on"),
    source: active?.rules.sources[0] ?? null,
    sources: active?.rules.sources ?? [],
    given: rules === null ? [] : givenBeside(rules),
    copiedAt: active === null ? null : copiedAt(dataPlane),
    services: active?.rules.file.head.services.length ?? 0,
    mappings: active === null ? 0 : countMappings(active.rules) - over,
    runtimeMappings: (active?.rules.runtime.length ?? 0) - over,
    drained: (active?.rules.drained ?? []).map(drainedShape),
    listeners: active === null ? null : listeners.length,
    ...served,
    lookups: active === null ? null : dataPlane.counterTotal(),
    flows: dataPlane.flowCount(),
    faults: dataPlane.faults(),
    pinPath: dataPlane.pinPath,
  };
}
