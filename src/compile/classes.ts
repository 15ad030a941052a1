/**
 * Groups ports that are covered by the same port sets into classes. A rule is looked up by class,
 * so ranges cost nothing.
 */
import type { PortRange } from "../model/mapping.js";

export interface PortClass {
  /** The indexes of the port sets that cover these ports. */
  readonly sets: readonly number[];
  readonly ranges: readonly PortRange[];
}

/** Returns the classes of one protocol. Ports that nothing covers are in none. */
export function classify(sets: readonly (readonly PortRange[])[]): PortClass[] {
  const opens = new Map<number, number[]>();
  const closes = new Map<number, number[]>();
  const at = (events: Map<number, number[]>, port: number): number[] => {
    const known = events.get(port);
    if (known !== undefined) return known;
    const fresh: number[] = [];
    events.set(port, fresh);
    return fresh;
  };
  sets.forEach((ranges, index) => {
    for (const { first, last } of ranges) {
      at(opens, first).push(index);
      at(closes, last + 1).push(index);
    }
  });
  const borders = [...new Set([...opens.keys(), ...closes.keys()])].sort((a, b) => a - b);
  const classes = new Map<string, { sets: number[]; ranges: PortRange[] }>();
  const active = new Set<number>();
  borders.forEach((border, i) => {
    for (const index of closes.get(border) ?? []) active.delete(index);
    for (const index of opens.get(border) ?? []) active.add(index);
    const next = borders[i + 1];
    if (active.size === 0 || next === undefined) return;
    const covering = [...active].sort((a, b) => a - b);
    const key = covering.join(",");
    const found = classes.get(key);
    const range = { first: border, last: next - 1 };
    if (found === undefined) classes.set(key, { sets: covering, ranges: [range] });
    else found.ranges.push(range);
  });
  return [...classes.values()];
}
