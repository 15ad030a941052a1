/** Turns values of nft's JSON (numbers, addresses, ranges, sets) into regions. */
import { parseAddress, parsePrefix, type Family } from "../../model/address.js";
import { asObject } from "../imported.js";
import { addressNumber, prefixRange, ranges, type Ranges } from "./sets.js";
import {
  ELSEWHERE,
  everything,
  HERE,
  intersectRegions,
  narrowed,
  OTHER_PROTOCOLS,
  subtractRegions,
  TCP,
  UDP,
  type Region,
} from "./space.js";

/** The part of a packet that a rule looks at. `within` holds the packets that have it at all. */
export type Field =
  | { readonly kind: "port"; readonly within: Region }
  | { readonly kind: "daddr" | "saddr"; readonly family: Family; readonly within: Region }
  | { readonly kind: "protocol" | "family" | "type"; readonly within: Region };

const protocolBits: Readonly<Record<string, number>> = { tcp: TCP, "6": TCP, udp: UDP, "17": UDP };
const families: Readonly<Record<string, Family>> = { ipv4: 4, ip: 4, ipv6: 6, ip6: 6 };

export function ofFamily(family: Family): Region {
  return everything.filter((box) => box.family === family);
}

/** Returns the field that an expression of nft names, or null when mappings know no such field. */
export function fieldOf(expression: unknown): Field | null {
  const of = asObject(expression);
  const payload = asObject(of?.["payload"]);
  const meta = asObject(of?.["meta"])?.["key"];
  const fib = asObject(of?.["fib"]);
  if (payload !== null) {
    const { protocol, field } = payload;
    if (field === "dport") {
      if (protocol === "tcp") return { kind: "port", within: narrowed({ protocols: TCP }) };
      if (protocol === "udp") return { kind: "port", within: narrowed({ protocols: UDP }) };
      if (protocol === "th") return { kind: "port", within: everything };
      return null;
    }
    const family = protocol === "ip" ? 4 : protocol === "ip6" ? 6 : null;
    if (family !== null && (field === "daddr" || field === "saddr")) {
      return { kind: field, family, within: ofFamily(family) };
    }
    if (protocol === "ip" && field === "protocol") return { kind: "protocol", within: ofFamily(4) };
    return null;
  }
  if (meta === "l4proto") return { kind: "protocol", within: everything };
  if (meta === "nfproto" || meta === "protocol") return { kind: "family", within: everything };
  if (fib !== null && fib["result"] === "type") {
    const flags = fib["flags"];
    const only = Array.isArray(flags) && flags.length === 1 ? (flags[0] as unknown) : flags;
    return only === "daddr" ? { kind: "type", within: everything } : null;
  }
  return null;
}

/**
 * Returns all packets that have what an expression looks at, so that a condition that cannot be
 * expressed leaves the others certain.
 */
export function widest(expression: unknown): Region {
  const payload = asObject(asObject(expression)?.["payload"]);
  if (payload !== null) {
    const protocol = String(payload["protocol"]);
    if (protocol === "ip" || protocol === "ip6") return ofFamily(protocol === "ip" ? 4 : 6);
    if (protocol === "tcp" || protocol === "udp") {
      return narrowed({ protocols: protocol === "tcp" ? TCP : UDP });
    }
    if (["icmp", "icmpv6", "igmp", "sctp", "dccp", "esp", "ah", "comp"].includes(protocol)) {
      return narrowed({ protocols: OTHER_PROTOCOLS });
    }
  }
  return everything;
}

/** Returns the packets that may have one of the values, where `valueRegion` cannot tell which. */
export function widestOf(field: Field, values: readonly unknown[]): Region {
  if (field.kind === "protocol") {
    const protocols = values.reduce<number>(
      (bits, value) => bits | (protocolBits[String(value)] ?? OTHER_PROTOCOLS),
      0,
    );
    return intersectRegions(field.within, narrowed({ protocols }));
  }
  if (field.kind === "type" && !values.includes("local")) return narrowed({ places: ELSEWHERE });
  return field.within;
}

/** Returns the packets whose field has the value, or null when that cannot be expressed. */
export function valueRegion(field: Field, value: unknown): Region | null {
  const region = bareRegion(field, value);
  return region === null ? null : intersectRegions(field.within, region);
}

function bareRegion(field: Field, value: unknown): Region | null {
  switch (field.kind) {
    case "port": {
      const ports = rangeOf(value, (one) =>
        typeof one === "number" && Number.isInteger(one) && one >= 0 && one <= 65535
          ? [BigInt(one), BigInt(one)]
          : null,
      );
      return ports === null ? null : narrowed({ ports: clip(ports) });
    }
    case "daddr":
    case "saddr": {
      const all = rangeOf(value, (one) => {
        const parsed = typeof one === "string" ? parseAddress(one) : null;
        return parsed?.ok === true && parsed.address.includes(":") === (field.family === 6)
          ? [addressNumber(parsed.address), addressNumber(parsed.address)]
          : null;
      });
      if (all === null) return null;
      return narrowed(field.kind === "daddr" ? { on: all } : { from: all });
    }
    case "protocol": {
      if (typeof value !== "string" && typeof value !== "number") return null;
      const bits = protocolBits[String(value)];
      // It would be only one of the other protocols.
      return bits === undefined ? null : narrowed({ protocols: bits });
    }
    case "family": {
      const family = typeof value === "string" ? families[value] : undefined;
      return family === undefined ? null : ofFamily(family);
    }
    case "type":
      return value === "local" ? narrowed({ places: HERE }) : null;
  }
}

const clip = (ports: Ranges): Ranges =>
  ports.flatMap(([first, last]) =>
    last === 0n ? [] : [[first === 0n ? 1n : first, last] as const],
  );

type Point = (value: unknown) => readonly [bigint, bigint] | null;

function rangeOf(value: unknown, point: Point): Ranges | null {
  const one = point(value);
  if (one !== null) return ranges([one]);
  const object = asObject(value);
  const range = object?.["range"];
  if (Array.isArray(range)) {
    const [first, last] = [point(range[0]), point(range[1])];
    return first === null || last === null ? null : ranges([[first[0], last[1]]]);
  }
  const prefix = asObject(object?.["prefix"]);
  if (prefix === null) return null;
  const parsed = parsePrefix(`${String(prefix["addr"])}/${String(prefix["len"])}`);
  return parsed.ok && point(prefix["addr"]) !== null ? ranges([prefixRange(parsed.prefix)]) : null;
}

/** Returns all elements together, or null when one of them cannot be expressed. */
export function union(regions: readonly (Region | null)[]): Region | null {
  const known = regions.filter((region) => region !== null);
  if (known.length < regions.length) return null;
  return joined(known.flat());
}

/**
 * Joins boxes that differ in one set of numbers only: a set of a thousand ports is not a thousand
 * boxes.
 */
function joined(region: Region): Region {
  const groups = new Map<string, { ports: (readonly [bigint, bigint])[]; at: number }>();
  const result: Region[number][] = [];
  for (const key of ["ports", "on", "from"] as const) {
    const boxes = key === "ports" ? region : result.splice(0);
    groups.clear();
    for (const box of boxes) {
      const rest = JSON.stringify({ ...box, [key]: null }, (_name, value: unknown) =>
        typeof value === "bigint" ? value.toString(16) : value,
      );
      const group = groups.get(rest);
      if (group === undefined) {
        groups.set(rest, { ports: [...box[key]], at: result.length });
        result.push(box);
      } else {
        group.ports.push(...box[key]);
      }
    }
    for (const { ports, at } of groups.values()) {
      result[at] = { ...result[at]!, [key]: ranges(ports) };
    }
  }
  return result;
}

/** Returns the packets that have the field with another value. */
export function complement(fields: readonly Field[], region: Region): Region {
  const within = fields.reduce<Region>(
    (all, field) => intersectRegions(all, field.within),
    everything,
  );
  return subtractRegions(within, region);
}
