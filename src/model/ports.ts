/** Sets of ports as sorted, disjoint, inclusive ranges. Ports are 1 to 65535 in host byte order. */
import type { Refusal } from "./address.js";
import type { PortRange } from "./mapping.js";

export const MAX_PORT = 65535;
export const allPorts: PortRange = { first: 1, last: MAX_PORT };

/** Sorts the ranges and joins those that overlap or are adjacent. */
export function mergePorts(ranges: readonly PortRange[]): PortRange[] {
  if (ranges.length === 1) return [...ranges];
  const sorted = ranges.toSorted((left, right) => left.first - right.first);
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of sorted) {
    const previous = merged.at(-1);
    if (previous !== undefined && first <= previous.last + 1) {
      previous.last = Math.max(previous.last, last);
    } else {
      merged.push({ first, last });
    }
  }
  return merged;
}

/** Returns the ranges that are in both sets. */
export function sharedPorts(a: readonly PortRange[], b: readonly PortRange[]): PortRange[] {
  const shared: PortRange[] = [];
  for (const x of a) {
    for (const y of b) {
      const first = Math.max(x.first, y.first);
      const last = Math.min(x.last, y.last);
      if (first <= last) shared.push({ first, last });
    }
  }
  return shared;
}

/** Returns how many ports a merged set has. */
export function countPorts(ranges: readonly PortRange[]): number {
  return ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

export function portsContain(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ first, last }) => first <= port && port <= last);
}

/** Formats a set: `80,443`, `8000-8099`, or `*` for all. The inverse of `parsePorts`. */
export function formatPorts(ranges: readonly PortRange[]): string {
  const [only] = ranges;
  return only !== undefined && ranges.length === 1
    ? formatRange(only)
    : ranges.map(formatRange).join(",");
}

function formatRange({ first, last }: PortRange): string {
  if (first === last) return String(first);
  return first === allPorts.first && last === allPorts.last ? "*" : `${first}-${last}`;
}

/** Parses one item: `443`, `8000-8099` or `*`. */
export function parsePortItem(text: string): { ok: true; range: PortRange } | Refusal {
  if (text === "*") return { ok: true, range: allPorts };
  const match = /^([0-9]+)(?:-([0-9]+))?$/.exec(text);
  if (match === null) {
    return refusal(`${quote(text)} is not a port`, `write 443, "8000-8099" or "*"`);
  }
  const [, firstText = "", lastText = firstText] = match;
  for (const part of [firstText, lastText]) {
    const problem = refusePort(part);
    if (problem !== null) return problem;
  }
  const first = Number(firstText);
  const last = Number(lastText);
  if (first > last) {
    return refusal(`the port range ${first}-${last} is reversed`, `write "${last}-${first}"`);
  }
  return { ok: true, range: { first, last } };
}

/** Parses a comma-separated list of items, and merges it. */
export function parsePorts(text: string): { ok: true; ports: PortRange[] } | Refusal {
  const ranges: PortRange[] = [];
  for (const item of text.split(",")) {
    const parsed = parsePortItem(item);
    if (!parsed.ok) return parsed;
    ranges.push(parsed.range);
  }
  return { ok: true, ports: mergePorts(ranges) };
}

/** Parses one port number: decimal, without leading zeros. */
export function parsePort(text: string): { ok: true; port: number } | Refusal {
  if (!/^[0-9]+$/.test(text)) {
    return refusal(`${quote(text)} is not a port`, `a port is 1 to ${MAX_PORT}`);
  }
  return refusePort(text) ?? { ok: true, port: Number(text) };
}

function refusePort(text: string): Refusal | null {
  if (text.length > 1 && text.startsWith("0")) {
    return refusal(`the port ${quote(text)} has a leading zero`, `a port is 1 to ${MAX_PORT}`);
  }
  const port = Number(text);
  if (port >= 1 && port <= MAX_PORT) return null;
  const shown = text.length > 20 ? `${text.slice(0, 17)}...` : text;
  return refusal(`the port ${shown} does not exist`, `a port is 1 to ${MAX_PORT}`);
}

function refusal(reason: string, hint: string): Refusal {
  return { ok: false, reason, hint };
}

function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 61)}...` : text);
}

/** Returns the only port; null where there are several. */
export function onlyPort(ports: readonly PortRange[]): number | null {
  const [range] = ports;
  return ports.length === 1 && range?.first === range?.last ? (range?.first ?? null) : null;
}
