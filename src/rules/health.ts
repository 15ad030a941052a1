/**
 * Whether a mapping gives what is dialled to somebody: over each family that it is for, at each of
 * its destinations. Everything that tells of health goes by this. Pure.
 */
import { type Family, familyOf } from "../model/address.js";
import type { Listener } from "../model/listener.js";
import { type Destination, type Mapping, hasEnded, isRefusal } from "../model/mapping.js";
import { type LazyMappings, type Mappings, toLazy } from "../model/mappings.js";
import { type Rules, allMappings } from "../model/rules.js";
import { candidates } from "./candidates.js";
import { DrainedPlaces } from "./drained.js";
import {
  type DestinationState,
  JoinedListeners,
  familiesTaken,
  type Selects,
} from "./listening.js";

/**
 * `refusal`: it refuses on purpose. `over`: its time is over, so that it is no mapping any more.
 * `drained`: all its destinations are drained. `unserved`: it gives nothing to anyone, as nobody
 * listens. `served`: some of what is dialled goes to somebody.
 */
export type HealthState = "refusal" | "over" | "drained" | "unserved" | "served";

/** A family that some destinations have an address of, over which nobody gets anything. */
export interface Gap {
  readonly family: Family;
  /** True when all destinations of that family are drained. */
  readonly drained: boolean;
  /** The destinations of the family: indexes into `to`. */
  readonly destinations: readonly number[];
}

export interface MappingHealth {
  readonly state: HealthState;
  /** What a served mapping does not serve. */
  readonly gaps: readonly Gap[];
  /** The destinations without a listener in whose stead another one serves: indexes into `to`. */
  readonly down: readonly number[];
  /** The families that it is for, and that some destination has an address of. */
  readonly families: readonly Family[];
}

/** Reports whether new connections end, all of them or those over one family. */
export function isDown({ state, gaps }: MappingHealth): boolean {
  return state === "drained" || state === "unserved" || gaps.length > 0;
}

const both: readonly Family[] = [4, 6];

const plain = (state: HealthState, families: readonly Family[] = []): MappingHealth => ({
  state,
  gaps: [],
  down: [],
  families,
});
const refusal = plain("refusal");
const over = plain("over");

/** The health of mappings, each worked out on first use. */
export class Health {
  readonly joined: JoinedListeners;
  readonly #mappings: LazyMappings;
  readonly #drained: DrainedPlaces;
  readonly #now: number;
  /** By what a mapping leads to, of which there are few, and by the families that it is for. */
  readonly #known = new Map<readonly DestinationState[], Map<number, MappingHealth>>();

  constructor(
    mappings: Mappings,
    { joined, drained, now }: { joined: JoinedListeners; drained: DrainedPlaces; now: number },
  ) {
    this.#mappings = toLazy(mappings);
    this.joined = joined;
    this.#drained = drained;
    this.#now = now;
  }

  /** Returns the health of the mapping with this index. */
  at(index: number): MappingHealth {
    // Only what is conditional may be for a while, or for some clients.
    const whole = this.#mappings.isConditionalAt(index) ? this.#mappings.at(index) : undefined;
    if (whole !== undefined && hasEnded(whole, this.#now)) return over;
    const to = this.#mappings.toAt(index);
    if (isRefusal({ to })) return refusal;
    const on = this.#mappings.onAt(index);
    const dialled = both.filter((family) => isFor(on, family) && isFor(whole?.from ?? [], family));
    const states = this.joined.statesAt(index);
    const key = dialled.reduce((sum, family) => sum + family, 0);
    let known = this.#known.get(states);
    if (known === undefined) this.#known.set(states, (known = new Map<number, MappingHealth>()));
    let health = known.get(key);
    if (health === undefined) {
      health = this.#workOut(index, to, { states, dialled });
      known.set(key, health);
    }
    return health;
  }

  /**
   * Reports whether somebody listens at each address of the service that the mapping with this
   * index leads to, drained or not.
   */
  listensFor(index: number, service: string): boolean {
    const to = this.#mappings.toAt(index);
    const states = this.joined.statesAt(index);
    return to.every((one, i) => {
      if (one.service !== service || states[i]?.listening === true) return true;
      const family = one.address === "*" ? 4 : familyOf(one.address);
      return to.some((other, j) => isSameDaemon(other, one) && serves(states[j], other, family));
    });
  }

  /**
   * Returns how many mappings lead to a listener whose queue is full, and the first `limit` of them
   * with it.
   */
  full(limit: number): ReturnType<JoinedListeners["full"]> {
    return this.joined.full(limit, (index) => this.at(index).state !== "over");
  }

  #workOut(
    index: number,
    to: readonly Destination[],
    { states, dialled }: { states: readonly DestinationState[]; dialled: readonly Family[] },
  ): MappingHealth {
    const [protocol, ports] = [this.#mappings.protocolAt(index), this.#mappings.portsAt(index)];
    const meant = dialled.filter((family) => to.some((one) => isOf(one, family)));
    const isDrained = to.map((one) => this.#drained.hasDestination(protocol, ports, one));
    if (isDrained.every(Boolean)) return plain("drained", meant);
    const serving = both.map((family) => ({
      family,
      by: candidates({ to }, family)
        .map(({ destination }) => destination)
        .filter((one) => !isDrained[one] && serves(states[one], to[one], family)),
    }));
    const by = (family: Family): readonly number[] =>
      dialled.includes(family) ? (serving.find((one) => one.family === family)?.by ?? []) : [];
    if (dialled.every((family) => by(family).length === 0)) return plain("unserved", meant);
    const gaps: Gap[] = [];
    const down: number[] = [];
    for (const family of meant) {
      const own = to.flatMap((one, i) => (isOf(one, family) ? i : []));
      const serving = by(family);
      if (serving.length === 0) {
        gaps.push({ family, drained: own.every((i) => isDrained[i]), destinations: own });
        continue;
      }
      for (const i of own) {
        const isMissed = !isDrained[i] && states[i]?.listening !== true;
        if (isMissed && !serving.some((one) => isSameDaemon(to[one], to[i]))) down.push(i);
      }
    }
    return { state: "served", gaps, down: down.toSorted((a, b) => a - b), families: meant };
  }
}

function isFor(prefixes: Mapping["on"], family: Family): boolean {
  return prefixes.length === 0 || prefixes.some((prefix) => familyOf(prefix) === family);
}

/** A wildcard is no wish for a family, and stands in for others, so nobody misses it. */
function isOf({ address }: Destination, family: Family): boolean {
  return address !== "*" && familyOf(address) === family;
}

/** Reports whether somebody listens at the destination who takes packets of the family. */
function serves(
  state: DestinationState | undefined,
  destination: Destination | undefined,
  family: Family,
): boolean {
  const takes = (listener: Listener): boolean =>
    familiesTaken(listener).includes(family) ||
    (destination?.dualStack === true && listener.family === 6);
  return state?.listeners.some(takes) === true;
}

/** One dual-stack socket may stand for a service's addresses of both families. */
function isSameDaemon(serving: Destination | undefined, missing: Destination | undefined): boolean {
  return serving?.dualStack === true && serving.service === missing?.service;
}

/** Joins the rules with who listens. */
export function healthOf(
  rules: Rules,
  { listeners, selects, now }: { listeners: readonly Listener[]; selects: Selects; now: number },
): Health {
  const mappings = allMappings(rules);
  const joined = new JoinedListeners(mappings, listeners, selects);
  return new Health(mappings, { joined, drained: drainedIn(rules), now });
}

export function drainedIn({ drained = [], file }: Rules): DrainedPlaces {
  return new DrainedPlaces(drained, file.services);
}
