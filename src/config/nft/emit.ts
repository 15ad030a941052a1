/**
 * Turns shares into entries of a configuration, where the most specific entry that fits a packet
 * decides. Of any two that fit the same packet, the one that has to decide is made to ask for a
 * part of what the other asks for, in everything that precedence looks at.
 */
import { familyOf, type Family } from "../../model/address.js";
import type { PortRange } from "../../model/mapping.js";
import type { ImportedEntry } from "../imported.js";
import { ownAddresses, type Host, type Share } from "./judge.js";
import {
  everyAddress,
  everyInterface,
  intersectRanges,
  joinInterfaces,
  noInterface,
  prefixRange,
  ranges,
  sameRanges,
  subtractRanges,
  toPrefixes,
  type Interfaces,
  type Ranges,
} from "./sets.js";
import {
  HERE,
  intersectBoxes,
  subtractBoxes,
  subtractRegions,
  TCP,
  UDP,
  type Box,
} from "./space.js";

export interface Emitted {
  readonly entry: ImportedEntry;
  /** The purpose of the entry, one line each. */
  readonly remarks: readonly string[];
}

/**
 * Where packets of a box go. If `to` is empty, they go to whoever would get them without mappings.
 */
interface Aim {
  readonly to: readonly string[];
  readonly existing: "never" | "exact" | "any";
  readonly remarks: readonly string[];
}

interface Aimed {
  readonly box: Box;
  readonly aim: Aim;
}

const untouched = (remark: string): Aim => ({ to: [], existing: "any", remarks: [remark] });
const ownDials = "what this host dials itself stays as it is";

export function ephemeralPorts(host: Host): Ranges {
  if (host.ephemeral === undefined) return [];
  const { range, reserved } = host.ephemeral;
  const of = ({ first, last }: PortRange): readonly [bigint, bigint] => [
    BigInt(first),
    BigInt(last),
  ];
  return subtractRanges([of(range)], ranges(reserved.map(of)));
}

export function emit(shares: readonly Share[], host: Host): Emitted[] {
  const aimed = shares.flatMap((share) => aims(share, host));
  const outside = joined(aimed.filter(({ hook }) => hook === "prerouting"));
  const inside = joined(aimed.filter(({ hook }) => hook === "output"));
  const own = (family: Family): Ranges => ownAddresses(host, family);

  // From outside: first what is for all interfaces but some, as if it were for all; then what is
  // for some only.
  const wide = outside
    .filter(({ box }) => box.interfaces.except)
    .flatMap(({ box, aim }) => covering({ box: { ...box, interfaces: everyInterface }, aim }, own));
  const excepted = outside
    .filter(({ box }) => box.interfaces.except && box.interfaces.names.length > 0)
    .map(({ box }) => ({ ...box, interfaces: { except: false, names: box.interfaces.names } }));
  const few = outside.filter(({ box }) => !box.interfaces.except);
  const kept = subtractRegions(
    disjoint(excepted),
    few.map(({ box }) => box),
  ).map((box) => ({ box, aim: untouched("packets of this interface stay as they are") }));
  const named = [...few, ...kept].flatMap((one) => covering(one, own));
  const narrow = refine(named, wide).flatMap((one) => covering(one, own));

  // From the host itself, which a mapping tells by the source address.
  const covered = disjoint(
    [...wide, ...narrow.filter(({ aim }) => aim.to.length > 0)].flatMap(({ box }) => {
      const from = intersectRanges(box.from, own(box.family));
      return from.length === 0 ? [] : [{ ...box, from, interfaces: everyInterface }];
    }),
  );
  const exempt = subtractRegions(
    covered,
    inside.map(({ box }) => box),
  ).map((box) => ({ box, aim: untouched(ownDials) }));
  const local = refine(refine([...inside, ...exempt], wide), narrow);
  return merged([...wide, ...narrow, ...local]).map(toEntry);
}

/**
 * Returns where the packets of a share go. Ports that a client of the host may have are kept apart,
 * and so are single listeners.
 */
function aims(share: Share, host: Host): (Aimed & { hook: Share["hook"] })[] {
  return byListener({ ...share, box: { ...share.box, places: HERE } }, host).flatMap((one) => {
    const { hook, box } = one;
    const ports = intersectRanges(box.ports, ephemeralPorts(host));
    const open = { ...box, protocols: box.protocols & UDP, ports };
    const clients = intersectBoxes(open, open);
    const rest = clients === null ? [box] : subtractBoxes(box, clients);
    const aim = { to: destinations(one), remarks: [share.rule.text] };
    return [
      ...rest.map((each) => ({ box: each, aim: { ...aim, existing: "never" as const }, hook })),
      ...(clients === null
        ? []
        : [{ box: clients, aim: { ...aim, existing: "exact" as const }, hook }]),
    ];
  });
}

/**
 * Splits off, from a redirection to the interface's address, the parts for which a socket listens
 * on that address alone.
 */
function byListener(share: Share, host: Host): Share[] {
  if (share.address !== null || share.hook === "output") return [share];
  let rest: Box[] = [share.box];
  const shares: Share[] = [];
  for (const { name, addresses } of host.interfaces) {
    const address = addresses.find((one) => familyOf(one) === share.box.family);
    for (const { protocol, port, address: bound } of host.bound) {
      if (bound !== address || (share.port !== "same" && share.port !== port)) continue;
      const part: Box = {
        ...share.box,
        protocols: protocol === "tcp" ? TCP : UDP,
        interfaces: { except: false, names: [name] },
        ports: share.port === "same" ? [[BigInt(port), BigInt(port)]] : share.box.ports,
      };
      const boxes = rest.flatMap((box) => intersectBoxes(box, part) ?? []);
      rest = subtractRegions(rest, [part]);
      shares.push(...boxes.map((box) => ({ ...share, box, address })));
    }
  }
  return [...shares, ...rest.map((box) => ({ ...share, box }))];
}

function destinations({ hook, box, address, port }: Share): string[] {
  const suffix = port === "same" ? "" : `:${port}`;
  const loopback = box.family === 4 ? "127.0.0.1" : "::1";
  const exact = address ?? (hook === "output" ? loopback : null);
  const wildcard = `*${suffix}`;
  if (exact === null) return [wildcard];
  return [
    exact.includes(":") && suffix !== "" ? `[${exact}]${suffix}` : `${exact}${suffix}`,
    wildcard,
  ];
}

/**
 * Adds the host's own addresses to the sources from outside, where none of them occurs, so that
 * they make few prefixes. Drops prefixes that cover only the host's own: what is for those has to
 * be the longer prefix.
 */
function covering({ box, aim }: Aimed, own: (family: Family) => Ranges): Aimed[] {
  const mine = own(box.family);
  const kept = toPrefixes(ranges([...box.from, ...mine]), box.family)
    .map(prefixRange)
    .filter((range) => subtractRanges([range], mine).length > 0);
  return kept.length === 0 ? [] : [{ box: { ...box, from: ranges(kept) }, aim }];
}

/**
 * Cuts the same packets so that each piece lies within each of the others, or outside. Ignores
 * interfaces.
 */
function refine(pieces: readonly Aimed[], by: readonly Aimed[]): Aimed[] {
  return by.reduce<Aimed[]>(
    (cut, { box: other }) =>
      cut.flatMap(({ box, aim }) => {
        const any = { ...other, interfaces: everyInterface };
        const within = intersectBoxes(box, any);
        if (within === null) return [{ box, aim }];
        return [within, ...subtractBoxes(box, any)].map((one) => ({ box: one, aim }));
      }),
    [...pieces],
  );
}

function disjoint(boxes: readonly Box[]): Box[] {
  const all: Box[] = [];
  for (const box of boxes) all.push(...subtractRegions([box], all));
  return all;
}

const sameInterfaces = (a: Interfaces, b: Interfaces): boolean =>
  a.except === b.except &&
  a.names.length === b.names.length &&
  a.names.every((name) => b.names.includes(name));

const sameAim = (a: Aim, b: Aim): boolean =>
  a.existing === b.existing && a.to.join() === b.to.join();

/** Joins boxes with the same aim that differ in one thing. */
function joined(pieces: readonly Aimed[]): Aimed[] {
  const result: Aimed[] = [];
  for (const piece of pieces) {
    let { box } = piece;
    const remarks = new Set(piece.aim.remarks);
    for (let at = 0; at < result.length; at++) {
      const other = result[at]!;
      const both = sameAim(other.aim, piece.aim) ? join(other.box, box) : null;
      if (both === null) continue;
      box = both;
      for (const remark of other.aim.remarks) remarks.add(remark);
      result.splice(at, 1);
      at = -1;
    }
    result.push({ box, aim: { ...piece.aim, remarks: [...remarks] } });
  }
  return result;
}

function join(a: Box, b: Box): Box | null {
  if (a.family !== b.family || a.places !== b.places) return null;
  const differs = {
    protocols: a.protocols !== b.protocols,
    ports: !sameRanges(a.ports, b.ports),
    on: !sameRanges(a.on, b.on),
    from: !sameRanges(a.from, b.from),
    interfaces: !sameInterfaces(a.interfaces, b.interfaces),
  };
  if (Object.values(differs).filter(Boolean).length > 1) return null;
  if (differs.protocols) return { ...a, protocols: a.protocols | b.protocols };
  if (differs.ports) return { ...a, ports: ranges([...a.ports, ...b.ports]) };
  if (differs.on) return { ...a, on: ranges([...a.on, ...b.on]) };
  if (differs.from) return { ...a, from: ranges([...a.from, ...b.from]) };
  return differs.interfaces ? { ...a, interfaces: joinInterfaces(a.interfaces, b.interfaces) } : a;
}

/** The contents of one entry: boxes of one or both families that differ in addresses only. */
interface Group {
  readonly boxes: readonly Box[];
  readonly aim: Aim;
}

/** Merges into one entry for both families, and for both protocols, where that means the same. */
function merged(pieces: readonly Aimed[]): Group[] {
  const groups: Group[] = [];
  for (const { box, aim } of pieces) {
    const at = groups.findIndex(({ boxes, aim: other }) => {
      const [first] = boxes;
      return (
        first !== undefined &&
        boxes.length === 1 &&
        first.family !== box.family &&
        sameAim(other, aim) &&
        first.protocols === box.protocols &&
        sameRanges(first.ports, box.ports) &&
        sameInterfaces(first.interfaces, box.interfaces)
      );
    });
    if (at === -1) groups.push({ boxes: [box], aim });
    else {
      const { boxes, aim: other } = groups[at]!;
      const remarks = [...new Set([...other.remarks, ...aim.remarks])];
      groups[at] = { boxes: [...boxes, box], aim: { ...aim, remarks } };
    }
  }
  return groups;
}

function toEntry({ boxes, aim }: Group): Emitted {
  const [box] = boxes;
  const { protocols, ports, interfaces } = box!;
  const one = (list: readonly unknown[]): unknown => (list.length === 1 ? list[0] : list);
  const protocol = [
    ...((protocols & TCP) === 0 ? [] : ["tcp"]),
    ...((protocols & UDP) === 0 ? [] : ["udp"]),
  ];
  const port = ports.map(([first, last]) => {
    if (first === last) return Number(first);
    return first === 1n && last === 65535n ? "*" : `${first}-${last}`;
  });
  const prefixes = (key: "on" | "from"): string[] => {
    const all = boxes.every((each) => sameRanges(each[key], everyAddress(each.family)));
    if (all && (key === "from" || boxes.length === 2)) return [];
    return boxes
      .flatMap((each) => toPrefixes(each[key], each.family))
      .map((text) =>
        text.replace(/\/(?:32|128)$/, (bits) =>
          bits === "/128" || !text.includes(":") ? "" : bits,
        ),
      );
  };
  const on = prefixes("on");
  const from = prefixes("from");
  const entry = {
    protocol: one(protocol),
    port: one(port),
    ...(on.length === 0 ? {} : { on: one(on) }),
    ...(from.length === 0 ? {} : { from: one(from) }),
    ...(interfaces.except || noInterface(interfaces) ? {} : { interface: one(interfaces.names) }),
    to: aim.to.length === 0 ? "*" : one(aim.to),
    existing: aim.existing,
    miss: aim.to.length === 0 ? "pass" : "reject",
  };
  return { entry, remarks: aim.remarks };
}
