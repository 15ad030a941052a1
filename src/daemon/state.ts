/** What `ilm status` and `GET /v1/state` tell of the rules and of what they did. */
import type { DaemonState } from "../api/api.js";
import { judgeOf } from "../dataplane/judge.js";
import type { Active, DataPlane } from "../dataplane/types.js";
import type { Ending, Listener } from "../model/listener.js";
import { formatOwner } from "../model/owner.js";
import { allMappings, countMappings, emptyRules, readRules, type Rules } from "../model/rules.js";
import type { Judge } from "../rules/judge.js";
import { Endings } from "../rules/endings.js";
import { JoinedListeners } from "../rules/listening.js";
import { describesEnds } from "./ended.js";

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

/** Joins the rules with the listeners: how many are led to, and which mappings lead to nobody. */
function servedBy(
  rules: Rules,
  judge: Judge,
  listeners: readonly Listener[],
  endings: () => readonly Ending[],
): Pick<DaemonState, "mappedListeners" | "unserved" | "full"> {
  const mappings = allMappings(rules);
  const joined = new JoinedListeners(mappings, listeners, judge.selects);
  const { count, first } = joined.unserved(NAMED);
  const full = joined.full(NAMED);
  const ended = new Endings(count === 0 ? [] : endings());
  const describeEnd = describesEnds(rules.file.services);
  const owners = new Map(
    rules.file.services.map(({ name, owner }) => [name, owner && formatOwner(owner)]),
  );
  return {
    mappedListeners: joined.views().filter((view) => view.isMapped).length,
    unserved: {
      count,
      mappings: first.flatMap((index) => {
        const mapping = mappings.at(index);
        if (mapping === undefined) return [];
        const service = mapping.to.find((one) => one.service !== undefined)?.service;
        return {
          name: mapping.name,
          protocol: mapping.protocol,
          owner: (service !== undefined && owners.get(service)) || null,
          ended: describeEnd(ended.of(mapping)),
        };
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
    ...(rules === null
      ? { mappedListeners: null, unserved: null, full: null }
      : servedBy(rules, judge, listeners, () => dataPlane.endings())),
    lookups: active === null ? null : dataPlane.counterTotal(),
    flows: dataPlane.flowCount(),
    faults: dataPlane.faults(),
    pinPath: dataPlane.pinPath,
  };
}
