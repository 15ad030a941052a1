/**
 * Where dialled addresses led before a change, and where they lead after it: what the change means
 * to whoever connects.
 */
import { type Address, type Prefix, familyOf, prefixLength } from "../model/address.js";
import { type Destination, type Mapping, type PortRange, type Protocol } from "../model/mapping.js";
import { type Rules, allMappings } from "../model/rules.js";
import { type Mappings } from "../model/mappings.js";
import { countPorts, portsContain } from "../model/ports.js";
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
  /** The ways in the order in which they are tried. Empty when no mapping takes the connection. */
  readonly before: readonly Way[];
  readonly after: readonly Way[];
}

/** One mapping that a connection may reach. Only the last way is unconditional. */
export interface Way {
  readonly from: readonly Prefix[];
  readonly interfaces: readonly string[];
  readonly to: readonly Destination[];
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
            to: mapping.to.map((one) => withoutName(one)),
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
        if (JSON.stringify(was) === JSON.stringify(is)) continue;
        push(moves, { protocol, ports: range, on: prefix, before: was, after: is });
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
    };
  } else {
    known.push(move);
  }
  moves.set(key, known);
}
