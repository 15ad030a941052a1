/** What `ilm status` and `GET /v1/state` tell of the rules and of what they did. */
import type { DaemonState } from "../api/api.js";
import { activeIfReadable } from "../control/active.js";
import type { UnservedJson } from "../json/health.js";
import { drainedShape } from "../api/mapping-shape.js";
import { judgeOf } from "../dataplane/judge.js";
import type { Active, DataPlane } from "../dataplane/types.js";
import type { Listener } from "../model/listener.js";
import { type Mapping, isRefusal } from "../model/mapping.js";
import { formatOwner } from "../model/owner.js";
import { allMappings, countMappings, emptyRules, readRules, type Rules } from "../model/rules.js";
import type { Judge } from "../rules/judge.js";
import type { Endings } from "../rules/endings.js";
import { JoinedListeners } from "../rules/listening.js";
import { describesAbsence, readEndings } from "./ended.js";
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

/** Returns a function that describes a mapping without a listener. */
function describesUnserved(
  { file: { services } }: Rules,
  endings: Endings,
): (mapping: Mapping) => UnservedJson {
  const describe = describesAbsence(services);
  const owners = new Map(services.map(({ name, owner }) => [name, owner && formatOwner(owner)]));
  return (mapping) => {
    const service = mapping.to.find((one) => one.service !== undefined)?.service;
    return {
      name: mapping.name,
      protocol: mapping.protocol,
      owner: (service !== undefined && owners.get(service)) || null,
      ...describe(endings.of(mapping)),
    };
  };
}

/**
 * Returns all mappings without a listener; null when nothing is loaded, or there are too many
 * mappings to look through them each time.
 */
export function unservedMappings(dataPlane: DataPlane): UnservedJson[] | null {
  const active = activeIfReadable(dataPlane);
  if (active === null || countMappings(active.rules) > LISTED_MAPPINGS_MAX) return null;
  const rules = readRules(active.rules);
  const mappings = allMappings(rules);
  const { selects } = judgeOf(dataPlane, rules);
  const joined = new JoinedListeners(mappings, dataPlane.listeners(), selects);
  const { first } = joined.unserved(mappings.length);
  const unserved = first.flatMap((index) => mappings.at(index) ?? []);
  const endings = readEndings(dataPlane);
  endings.prepare(unserved);
  return unserved.map(describesUnserved(rules, endings));
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
  for (const { name, protocol, to } of mappings) {
    if (!isRefusal({ to })) known.add(`${protocol} ${name}`);
  }
  return ({ name, protocol }) => known.has(`${protocol} ${name}`);
}

/** Joins the rules with the listeners: how many are led to, and which mappings lead to nobody. */
function servedBy(
  rules: Rules,
  judge: Judge,
  listeners: readonly Listener[],
  endings: Endings,
): Pick<DaemonState, "mappedListeners" | "unserved" | "full"> {
  const mappings = allMappings(rules);
  const joined = new JoinedListeners(mappings, listeners, judge.selects);
  const { count, first } = joined.unserved(NAMED);
  const full = joined.full(NAMED);
  const describe = describesUnserved(rules, endings);
  return {
    mappedListeners: joined.views().filter((view) => view.isMapped).length,
    unserved: {
      count,
      mappings: first.flatMap((index) => {
        const mapping = mappings.at(index);
        return mapping === undefined ? [] : describe(mapping);
      }),
    },
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
    services: active?.rules.file.head.services.length ?? 0,
    mappings: active === null ? 0 : countMappings(active.rules),
    runtimeMappings: active?.rules.runtime.length ?? 0,
    drained: (active?.rules.drained ?? []).map(drainedShape),
    listeners: active === null ? null : listeners.length,
    ...(rules === null
      ? { mappedListeners: null, unserved: null, full: null }
      : servedBy(rules, judge, listeners, readEndings(dataPlane))),
    lookups: active === null ? null : dataPlane.counterTotal(),
    flows: dataPlane.flowCount(),
    faults: dataPlane.faults(),
    pinPath: dataPlane.pinPath,
  };
}
