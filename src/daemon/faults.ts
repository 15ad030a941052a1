/** What is wrong with mappings, as commands, the API and the log tell it. */
import type { DegradedJson, DrainedMappingJson, GapJson, UnservedJson } from "../json/health.js";
import type { Mapping } from "../model/mapping.js";
import { formatOwner } from "../model/owner.js";
import { type Rules, allMappings } from "../model/rules.js";
import type { Endings } from "../rules/endings.js";
import { type Health, type MappingHealth, healthOf } from "../rules/health.js";
import { bootSeconds } from "../kernel/boot-time.js";
import type { HealthAt } from "./chosen.js";
import { describesAbsence } from "./ended.js";

/** The number of mappings of one kind, and the first of them. */
export interface Some<One> {
  readonly count: number;
  readonly mappings: readonly One[];
}

export interface Faults {
  /** Mappings at none of whose destinations anybody listens. */
  readonly unserved: Some<UnservedJson>;
  /** Mappings all of whose destinations are drained. */
  readonly drainedMappings: Some<DrainedMappingJson>;
  /** Families over which a mapping that is served otherwise gives nothing to anyone. */
  readonly gaps: Some<GapJson>;
  /** Mappings of which one of several destinations is down. */
  readonly degraded: Some<DegradedJson>;
  /** How many mappings are over, by which there are less than the rules have. */
  readonly over: number;
}

class First<One> {
  count = 0;
  readonly mappings: (() => One)[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts one more, and reports whether it is among the first. */
  add(one: () => One): boolean {
    this.count++;
    const isFirst = this.mappings.length < this.#limit;
    if (isFirst) this.mappings.push(one);
    return isFirst;
  }

  get some(): Some<One> {
    return { count: this.count, mappings: this.mappings.map((one) => one()) };
  }
}

/** Finds what is wrong, and describes the first `limit` of each kind. */
export function findFaults(
  rules: Rules,
  health: Health,
  { endings, limit }: { readonly endings: Endings; readonly limit: number },
): Faults {
  const { services } = rules.file;
  const describe = describesAbsence(services);
  const owners = new Map(services.map(({ name, owner }) => [name, owner && formatOwner(owner)]));
  const all = allMappings(rules);
  const unserved = new First<UnservedJson>(limit);
  const drainedMappings = new First<DrainedMappingJson>(limit);
  const gaps = new First<GapJson>(limit);
  const degraded = new First<DegradedJson>(limit);
  const named = new Set<() => Mapping>();
  let over = 0;
  const { length } = all;
  for (let index = 0; index < length; index++) {
    const own = health.at(index);
    if (own.state === "over") over++;
    if (own.state === "refusal" || own.state === "over") continue;
    const isWhole = own.state === "served" && own.gaps.length + own.down.length === 0;
    if (isWhole) continue;
    const read = mappingOf(index);
    const isNamed = [
      own.state === "drained" && drainedMappings.add(() => idOf(read())),
      own.state === "unserved" && unserved.add(() => unservedOf(read())),
      ...own.gaps.map((gap) => gaps.add(() => gapOf(read(), gap))),
      own.down.length > 0 && degraded.add(() => degradedOf(read(), own)),
    ];
    if (isNamed.includes(true)) named.add(read);
  }
  // All are asked about at once: one by one it takes far longer.
  endings.prepare([...named].map((read) => read()));
  return {
    unserved: unserved.some,
    drainedMappings: drainedMappings.some,
    gaps: gaps.some,
    degraded: degraded.some,
    over,
  };

  /** Reads a mapping once it is named. */
  function mappingOf(index: number): () => Mapping {
    let known: Mapping | undefined;
    return () => {
      known ??= all.at(index);
      if (known === undefined) throw new RangeError(`there is no mapping ${index}`);
      return known;
    };
  }

  function unservedOf(mapping: Mapping): UnservedJson {
    const service = mapping.to.find((one) => one.service !== undefined)?.service;
    return {
      ...idOf(mapping),
      owner: (service !== undefined && owners.get(service)) || null,
      ...describe(endings.of(mapping)),
    };
  }

  function gapOf(
    mapping: Mapping,
    { family, drained, destinations }: MappingHealth["gaps"][number],
  ): GapJson {
    const to = destinations.flatMap((one) => mapping.to[one] ?? []);
    return { ...idOf(mapping), family, drained, ...describe(endings.of({ ...mapping, to })) };
  }

  function degradedOf(mapping: Mapping, { down }: MappingHealth): DegradedJson {
    return {
      ...idOf(mapping),
      destinations: mapping.to.length,
      down: down.flatMap((index) => {
        const one = mapping.to[index];
        if (one === undefined) return [];
        const { address, port, service = null } = one;
        return [{ address, port, service, ...describe(endings.at(mapping, index)) }];
      }),
    };
  }
}

function idOf({ name, protocol }: Mapping): DrainedMappingJson {
  return { name, protocol };
}

/** Returns what tells the health of each mapping now, worked out when it is asked for. */
export function healthIn(
  rules: Rules,
  around: Omit<Parameters<typeof healthOf>[1], "now">,
): () => HealthAt {
  return () => {
    const health = healthOf(rules, { ...around, now: bootSeconds() });
    return (index) => health.at(index);
  };
}
