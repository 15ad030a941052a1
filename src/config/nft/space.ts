/** Packets as boxes: products of sets of what mappings can ask for. Regions are lists of boxes. */
import type { Family } from "../../model/address.js";
import {
  everyAddress,
  everyInterface,
  everyPort,
  intersectInterfaces,
  intersectRanges,
  noInterface,
  subtractInterfaces,
  subtractRanges,
  type Interfaces,
  type Ranges,
} from "./sets.js";

/** Bits of `protocols`. */
export const TCP = 1;
export const UDP = 2;
export const OTHER_PROTOCOLS = 4;
/** Bits of `places`: whether this host delivers the dialled address to itself. */
export const HERE = 1;
export const ELSEWHERE = 2;

export interface Box {
  readonly family: Family;
  readonly protocols: number;
  readonly places: number;
  /** The dialled ports. */
  readonly ports: Ranges;
  /** The dialled addresses. */
  readonly on: Ranges;
  /** The remote addresses. */
  readonly from: Ranges;
  readonly interfaces: Interfaces;
}

export type Region = readonly Box[];

export function universe(family: Family): Box {
  return {
    family,
    protocols: TCP | UDP | OTHER_PROTOCOLS,
    places: HERE | ELSEWHERE,
    ports: everyPort,
    on: everyAddress(family),
    from: everyAddress(family),
    interfaces: everyInterface,
  };
}

export const everything: Region = [universe(4), universe(6)];

/** Returns both families, narrowed the same way. */
export function narrowed(change: Partial<Box>): Region {
  return everything.map((box) => ({ ...box, ...change }));
}

function isEmpty(box: Box): boolean {
  return (
    box.protocols === 0 ||
    box.places === 0 ||
    box.ports.length === 0 ||
    box.on.length === 0 ||
    box.from.length === 0 ||
    noInterface(box.interfaces)
  );
}

/**
 * Intersects two boxes. It compares first what differs most often: thousands of rules for one port
 * each are compared with each other.
 */
export function intersectBoxes(a: Box, b: Box): Box | null {
  const protocols = a.protocols & b.protocols;
  const places = a.places & b.places;
  if (a.family !== b.family || protocols === 0 || places === 0) return null;
  const ports = intersectRanges(a.ports, b.ports);
  if (ports.length === 0) return null;
  const interfaces = intersectInterfaces(a.interfaces, b.interfaces);
  if (noInterface(interfaces)) return null;
  const on = intersectRanges(a.on, b.on);
  if (on.length === 0) return null;
  const from = intersectRanges(a.from, b.from);
  return from.length === 0
    ? null
    : { family: a.family, protocols, places, ports, on, from, interfaces };
}

/**
 * Returns `a` without `b` as disjoint boxes. The first conditions are split first, so that the
 * pieces differ where a reader looks first.
 */
export function subtractBoxes(a: Box, b: Box): Box[] {
  const both = intersectBoxes(a, b);
  if (both === null) return [a];
  const pieces: Box[] = [];
  let rest = a;
  const split = (outside: Partial<Box>, inside: Partial<Box>): void => {
    const piece = { ...rest, ...outside };
    if (!isEmpty(piece)) pieces.push(piece);
    rest = { ...rest, ...inside };
  };
  split({ protocols: a.protocols & ~b.protocols }, { protocols: both.protocols });
  split({ places: a.places & ~b.places }, { places: both.places });
  split({ ports: subtractRanges(a.ports, b.ports) }, { ports: both.ports });
  split(
    { interfaces: subtractInterfaces(a.interfaces, b.interfaces) },
    { interfaces: both.interfaces },
  );
  split({ from: subtractRanges(a.from, b.from) }, { from: both.from });
  split({ on: subtractRanges(a.on, b.on) }, { on: both.on });
  return pieces;
}

export function intersectRegions(a: Region, b: Region): Box[] {
  return a.flatMap((x) => b.flatMap((y) => intersectBoxes(x, y) ?? []));
}

export function subtractRegions(a: Region, b: Region): Box[] {
  return b.reduce<Box[]>((left, y) => left.flatMap((x) => subtractBoxes(x, y)), [...a]);
}

export function meet(a: Region, b: Region): boolean {
  return a.some((x) => b.some((y) => intersectBoxes(x, y) !== null));
}
