/**
 * Where dialled addresses led before a change, and where they lead after it: what the change means
 * to whoever connects.
 */
import {
  type Address,
  type Family,
  type Prefix,
  familyOf,
  prefixLength,
} from "../model/address.js";
import {
  type Destination,
  type Mapping,
  type PortRange,
  type Protocol,
  isRefusal,
} from "../model/mapping.js";
import { type Rules, allMappings } from "../model/rules.js";
import { type Mappings } from "../model/mappings.js";
import { MAX_PORT, countPorts, portsContain } from "../model/ports.js";
import { candidates } from "./candidates.js";
import type { RuleDiff } from "./diff.js";
import { Nesting } from "./nesting.js";
import {
  type Condition,
  type Rank,
  compareRanks,
  conditionsOf,
  isOwned,
  ownedBy,
  prefixesOf,
} from "./order.js";

export interface Move {
  readonly protocol: Protocol;
  readonly ports: PortRange;
  /**
   * The addresses of this prefix that are in no longer prefix of the rules; 0.0.0.0/0 and ::/0 are
   * all others.
   */
  readonly on: Prefix;
  /** True when the rules have a longer prefix of the family for some of these ports. */
  readonly isRest: boolean;
  /** The ways in the order in which they are tried. Empty when no mapping takes the connection. */
  readonly before: readonly Way[];
  readonly after: readonly Way[];
}

/** One mapping that a connection may reach. Only the last way is unconditional. */
export interface Way {
  readonly from: readonly Prefix[];
  readonly interfaces: readonly string[];
  /** Those that take packets of the family. */
  readonly to: readonly Destination[];
  /**
   * What becomes of the connection because no destination takes the family; null when one does, or
   * the mapping refuses on purpose.
   */
  readonly unserved: "missed" | "rejected" | null;
}

export interface Moves {
  readonly moves: readonly Move[];
  /** True when there are too many changes to follow each, so there may be more moves. */
  readonly more: boolean;
}

/** The maximum number of places to check. Each means checking the mappings of its prefix. */
const PLACES = 2000;

/** The mappings by prefix, so that those of one prefix are found without checking the others. */
class Side {
  readonly mappings: Mappings;
  readonly #byPrefix = new Map<string, Mapping[]>();
  readonly #owned: ReadonlySet<Address>;

  constructor(rules: Rules) {
    this.mappings = allMappings(rules);
    this.#owned = ownedBy(rules.file.services);
    for (const mapping of this.mappings) {
      for (const prefix of prefixesOf(mapping.on)) {
        const key = `${mapping.protocol} ${prefix}`;
        const known = this.#byPrefix.get(key);
        if (known === undefined) this.#byPrefix.set(key, [mapping]);
        else known.push(mapping);
      }
    }
  }

  /** Returns the ways that a connection to the prefix can take. */
  ways(protocol: Protocol, on: Prefix, port: number, nesting: Nesting): Way[] {
    const ways: Way[] = [];
    const family = familyOf(on);
    for (let prefix: Prefix | undefined = on; prefix !== undefined;) {
      let before: Mapping | undefined;
      for (const { mapping, from, interface: name } of this.#at(protocol, prefix, port)) {
        const last = ways.at(-1);
        if (mapping === before && last !== undefined) {
          // Merge consecutive conditions of the same mapping.
          ways[ways.length - 1] = {
            ...last,
            from: from === null ? [] : [...new Set([...last.from, from])],
            interfaces: name === null ? [] : [...new Set([...last.interfaces, name])],
          };
        } else {
          ways.push({
            from: from === null ? [] : [from],
            interfaces: name === null ? [] : [name],
            ...destinationsFor(mapping, family),
          });
        }
        before = mapping;
        if (from === null && name === null && mapping.until === undefined) return ways;
      }
      if (isOwned(prefix, this.#owned)) return ways;
      prefix = nesting.around(prefix);
    }
    return ways;
  }

  /**
   * Returns the conditions under which mappings decide for exactly this prefix, in the order of
   * decision.
   */
  #at(protocol: Protocol, prefix: Prefix, port: number): (Rank & Condition & Of)[] {
    const family = familyOf(prefix);
    const onLength = prefixLength(prefix);
    return (this.#byPrefix.get(`${protocol} ${prefix}`) ?? [])
      .filter((mapping) => portsContain(mapping.ports, port))
      .flatMap((mapping) =>
        conditionsOf(mapping, family).map((one) => ({
          mapping,
          onLength,
          ports: countPorts(mapping.ports),
          ...one,
        })),
      )
      .sort(compareRanks);
  }
}

interface Of {
  readonly mapping: Mapping;
}

/** Returns where the mapping leads packets of the family. */
function destinationsFor(mapping: Mapping, family: Family): Pick<Way, "to" | "unserved"> {
  const taking = new Set(candidates(mapping, family).map(({ destination }) => destination));
  const to = mapping.to.filter((_, index) => taking.has(index)).map((one) => withoutName(one));
  if (to.length > 0 || isRefusal(mapping)) return { to, unserved: null };
  return { to, unserved: mapping.miss === "reject" ? "rejected" : "missed" };
}

/**
 * Writes ways so that equal ones lead to the same. A connection that is missed goes where it goes
 * without a mapping.
 */
function meaningOf(ways: readonly Way[]): string {
  const last = ways.at(-1);
  const isFinal = last?.from.length === 0 && last.interfaces.length === 0;
  return JSON.stringify(isFinal && last.unserved === "missed" ? ways.slice(0, -1) : ways);
}

/** Drops the service's name: which one an address was named by makes no difference. */
function withoutName({ address, port, weight }: Destination): Destination {
  return { address, port, ...(weight !== undefined && { weight }) };
}

export function findMoves(before: Rules, after: Rules, difference: RuleDiff): Moves {
  const touched = [
    ...difference.added,
    ...difference.removed,
    ...difference.changed.flatMap((change) => [change.before, change.after]),
  ];
  if (touched.length === 0) return { moves: [], more: false };
  const sides = [new Side(before), new Side(after)] as const;
  const all = [...sides[0].mappings, ...sides[1].mappings];
  const nesting = new Nesting(all.flatMap((mapping) => prefixesOf(mapping.on)));
  const borders = bordersOf(all);
  const isNarrowed = narrowedPorts(all);
  const moves = new Map<string, Move[]>();
  const seen = new Set<string>();
  let more = false;
  for (const { protocol, ports, on } of touched) {
    for (const prefix of prefixesOf(on)) {
      for (const range of ports.flatMap((one) => cut(one, borders[protocol]))) {
        const key = `${protocol} ${prefix} ${range.first}`;
        if (seen.has(key)) continue;
        if (seen.size >= PLACES) {
          more = true;
          break;
        }
        seen.add(key);
        const [was, is] = sides.map((side) => side.ways(protocol, prefix, range.first, nesting));
        if (was === undefined || is === undefined) continue;
        if (meaningOf(was) === meaningOf(is)) continue;
        const isRest = isNarrowed(protocol, familyOf(prefix), range.first);
        push(moves, { protocol, ports: range, on: prefix, isRest, before: was, after: is });
      }
    }
  }
  return { moves: [...moves.values()].flat(), more };
}

/** Returns the ports at which some mapping begins, or has just ended. */
function bordersOf(mappings: Mappings): Readonly<Record<Protocol, readonly number[]>> {
  const found: Record<Protocol, Set<number>> = { tcp: new Set(), udp: new Set() };
  for (const { protocol, ports } of mappings) {
    for (const { first, last } of ports) found[protocol].add(first).add(last + 1);
  }
  const sorted = (set: ReadonlySet<number>): number[] => [...set].sort((a, b) => a - b);
  return { tcp: sorted(found.tcp), udp: sorted(found.udp) };
}

/** Returns what tells whether a mapping has the port for some addresses of the family only. */
function narrowedPorts(
  mappings: Mappings,
): (protocol: Protocol, family: Family, port: number) => boolean {
  const found = new Map<string, Int32Array>();
  for (const { protocol, ports, on } of mappings) {
    const families = new Set(on.filter((one) => prefixLength(one) > 0).map((one) => familyOf(one)));
    for (const family of families) {
      const key = `${protocol} ${family}`;
      let changes = found.get(key);
      if (changes === undefined) found.set(key, (changes = new Int32Array(MAX_PORT + 2)));
      for (const { first, last } of ports) {
        changes[first] = (changes[first] ?? 0) + 1;
        changes[last + 1] = (changes[last + 1] ?? 0) - 1;
      }
    }
  }
  for (const changes of found.values()) {
    for (let port = 1; port < changes.length; port++) {
      changes[port] = (changes[port] ?? 0) + (changes[port - 1] ?? 0);
    }
  }
  return (protocol, family, port) => (found.get(`${protocol} ${family}`)?.[port] ?? 0) > 0;
}

function cut({ first, last }: PortRange, borders: readonly number[]): PortRange[] {
  const starts = borders.filter((border) => border > first && border <= last);
  const all = [first, ...starts];
  return all.map((start, i) => ({ first: start, last: (all[i + 1] ?? last + 1) - 1 }));
}

/** Adds a move, merged with a neighbour of the same prefix that moves the same way. */
function push(moves: Map<string, Move[]>, move: Move): void {
  const key = `${move.protocol} ${move.on}`;
  const known = moves.get(key) ?? [];
  const last = known.at(-1);
  const same =
    last?.ports.last === move.ports.first - 1 &&
    JSON.stringify([last.before, last.after]) === JSON.stringify([move.before, move.after]);
  if (last !== undefined && same) {
    known[known.length - 1] = {
      ...last,
      ports: { first: last.ports.first, last: move.ports.last },
      isRest: last.isRest || move.isRest,
    };
  } else {
    known.push(move);
  }
  moves.set(key, known);
}
