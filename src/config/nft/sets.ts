/**
 * Sets of ports and addresses as sorted ranges, and of interface names by what they contain or
 * exclude. They are closed under complement.
 */
import { addressBytes, addressFromBytes, type Family, type Prefix } from "../../model/address.js";

/** Inclusive ranges: sorted, disjoint, not adjacent. */
export type Ranges = readonly (readonly [bigint, bigint])[];

export function ranges(items: readonly (readonly [bigint, bigint])[]): Ranges {
  const merged: [bigint, bigint][] = [];
  for (const [first, last] of items.toSorted((a, b) => (a[0] < b[0] ? -1 : 1))) {
    if (first > last) continue;
    const previous = merged.at(-1);
    if (previous !== undefined && first <= previous[1] + 1n) {
      if (last > previous[1]) previous[1] = last;
    } else {
      merged.push([first, last]);
    }
  }
  return merged;
}

export function intersectRanges(a: Ranges, b: Ranges): Ranges {
  if (a === b) return a;
  const both: (readonly [bigint, bigint])[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [x, y] = [a[i]!, b[j]!];
    const first = x[0] > y[0] ? x[0] : y[0];
    const last = x[1] < y[1] ? x[1] : y[1];
    if (first <= last) both.push([first, last]);
    if (x[1] < y[1]) i++;
    else j++;
  }
  return both;
}

export function subtractRanges(a: Ranges, b: Ranges): Ranges {
  const left: (readonly [bigint, bigint])[] = [];
  for (const [begin, last] of a) {
    let first = begin;
    for (const [from, to] of b) {
      if (to < first) continue;
      if (from > last) break;
      if (from > first) left.push([first, from - 1n]);
      first = to + 1n;
    }
    if (first <= last) left.push([first, last]);
  }
  return left;
}

export function sameRanges(a: Ranges, b: Ranges): boolean {
  return (
    a.length === b.length &&
    a.every(([first, last], at) => first === b[at]![0] && last === b[at]![1])
  );
}

export const everyPort: Ranges = [[1n, 65535n]];

export function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

export function everyAddress(family: Family): Ranges {
  return [[0n, (1n << BigInt(bitsOf(family))) - 1n]];
}

/** Returns the address as a number: 32 bits for IPv4, 128 for IPv6. */
export function addressNumber(address: Parameters<typeof addressBytes>[0]): bigint {
  const bytes = addressBytes(address);
  const own = address.includes(":") ? bytes : bytes.subarray(12);
  return own.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function prefixRange(prefix: Prefix): readonly [bigint, bigint] {
  const [address = "", length = ""] = prefix.split("/");
  const number = addressNumber(address as Parameters<typeof addressBytes>[0]);
  const free = BigInt((address.includes(":") ? 128 : 32) - Number(length));
  return [number, number + (1n << free) - 1n];
}

function prefixText(number: bigint, length: number, family: Family): Prefix {
  const bytes = new Uint8Array(16);
  if (family === 4) bytes.fill(0xff, 10, 12);
  for (let at = 15, rest = number; at >= (family === 4 ? 12 : 0); at--, rest >>= 8n) {
    bytes[at] = Number(rest & 0xffn);
  }
  return `${addressFromBytes(bytes)}/${length}` as Prefix;
}

/**
 * Returns the fewest prefixes. Each is the largest one around its addresses, so those of a subset
 * are never shorter.
 */
export function toPrefixes(set: Ranges, family: Family): Prefix[] {
  const bits = bitsOf(family);
  const prefixes: Prefix[] = [];
  for (const [begin, last] of set) {
    for (let first = begin; first <= last;) {
      let free = 0n;
      while (free < BigInt(bits)) {
        const size = 1n << (free + 1n);
        if (first % size !== 0n || first + size - 1n > last) break;
        free++;
      }
      prefixes.push(prefixText(first, bits - Number(free), family));
      first += 1n << free;
    }
  }
  return prefixes;
}

/** A set of interfaces. `except` means all but these, including those that appear later. */
export interface Interfaces {
  readonly except: boolean;
  readonly names: readonly string[];
}

export const everyInterface: Interfaces = { except: true, names: [] };

const without = (a: readonly string[], b: readonly string[]): string[] =>
  a.filter((name) => !b.includes(name));

export function intersectInterfaces(a: Interfaces, b: Interfaces): Interfaces {
  if (a.except && b.except) {
    return { except: true, names: [...a.names, ...without(b.names, a.names)] };
  }
  if (a.except) return { except: false, names: without(b.names, a.names) };
  if (b.except) return { except: false, names: without(a.names, b.names) };
  return { except: false, names: a.names.filter((name) => b.names.includes(name)) };
}

export function subtractInterfaces(a: Interfaces, b: Interfaces): Interfaces {
  return intersectInterfaces(a, { except: !b.except, names: b.names });
}

export function joinInterfaces(a: Interfaces, b: Interfaces): Interfaces {
  const other = (one: Interfaces): Interfaces => ({ except: !one.except, names: one.names });
  return other(intersectInterfaces(other(a), other(b)));
}

export function noInterface({ except, names }: Interfaces): boolean {
  return !except && names.length === 0;
}
