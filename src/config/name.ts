/**
 * Derives a name for a mapping that has none, from what it matches, so that it stays the same
 * across reloads.
 */
import { createHash } from "node:crypto";

import type { Prefix } from "../model/address.js";
import type { PortRange, Protocol } from "../model/mapping.js";
import { matchText } from "../model/match-text.js";
import { formatPorts } from "../model/ports.js";

/** The maximum length, to keep listings readable. Longer names are abbreviated. */
const MAX_LENGTH = 64;
const SHOWN_PORTS = 3;
const SHOWN_PREFIXES = 1;
/**
 * 48 bits: two of a million abbreviated names are equal with a probability of 1 in 500. They are
 * then refused, not confused.
 */
const HASH_DIGITS = 12;

/**
 * Derives a name: `tcp:443`, `tcp:80,443`, `udp:53@203.0.113.0/24,2001:db8::/32`, or abbreviated
 * `tcp:1,3,5+40@2001:db8::/32+7~0123456789ab`. It always has a colon, which given names cannot
 * have, so the two kinds never collide.
 */
export function deriveName(
  protocol: Protocol,
  ports: readonly PortRange[],
  on: readonly Prefix[],
  from: readonly Prefix[],
  interfaces: readonly string[],
): string {
  const full = matchText(protocol, ports, on, from, interfaces);
  if (full.length <= MAX_LENGTH) return full;
  const shownPorts = `${formatPorts(ports.slice(0, SHOWN_PORTS))}${more(ports.length - SHOWN_PORTS)}`;
  const shownOn =
    on.length === 0
      ? ""
      : `@${on.slice(0, SHOWN_PREFIXES).join(",")}${more(on.length - SHOWN_PREFIXES)}`;
  const rest = [from, interfaces].some((list) => list.length > 0) ? "@..." : "";
  const hash = createHash("sha256").update(full).digest("hex").slice(0, HASH_DIGITS);
  return `${protocol}:${shownPorts}${shownOn}${rest}~${hash}`;
}

function more(count: number): string {
  return count > 0 ? `+${count}` : "";
}
