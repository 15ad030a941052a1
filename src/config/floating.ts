/** Addresses that the host has at times (`floating`), and what cannot be one. */
import {
  isLinkLocal6,
  isLoopback,
  isMulticast,
  isUnspecified,
  parsePrefix,
  prefixAddress,
  prefixLength,
  type Prefix,
} from "../model/address.js";
import { refuse, yamlText, type Refused } from "./meant.js";

/** The shortest length that is taken, in bits: with a shorter one, nothing would be missed. */
const SHORTEST = { 4: 8, 6: 16 };

/** Parses an address, or a prefix, that may be another host's for a while. */
export function parseFloating(text: string): { ok: true; value: Prefix } | Refused {
  const parsed = parsePrefix(text);
  if (!parsed.ok) return parsed;
  const { prefix } = parsed;
  const address = prefixAddress(prefix);
  const family = address.includes(":") ? 6 : 4;
  const example = family === 6 ? "2001:db8::77" : "203.0.113.77";
  const right = `write the addresses that move between hosts, such as ${yamlText(example)}`;
  if (prefixLength(prefix) < SHORTEST[family]) {
    return refuse(`${prefix} is most addresses, so that none would be missed any more`, right);
  }
  if (isMulticast(address) || isUnspecified(address) || isLoopback(address)) {
    return refuse(`${prefix} does not move between hosts`, right);
  }
  if (isLinkLocal6(address)) return refuse(`${prefix} is of each link alone`, right);
  return { ok: true, value: prefix };
}
