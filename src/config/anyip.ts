/** Prefixes that are routed to the host as a whole (`anyip`), and what cannot be one. */
import {
  isMulticast,
  parsePrefix,
  prefixAddress,
  prefixContains,
  prefixLength,
  type Address,
  type Prefix,
} from "../model/address.js";
import { refuse, yamlText, type Refused } from "./meant.js";

/** Prefixes that are never a host's own, and what they are. */
const foreign: readonly (readonly [prefix: Prefix, what: string])[] = [
  ["127.0.0.0/8" as Prefix, "is the host's own in any case"],
  ["::1/128" as Prefix, "is the host's own in any case"],
  ["0.0.0.0/8" as Prefix, "is for no host's address"],
  ["::/128" as Prefix, "is for no host's address"],
  ["169.254.0.0/16" as Prefix, "is of each link alone, and not routed"],
  ["fe80::/10" as Prefix, "is of each link alone, and not routed"],
  ["240.0.0.0/4" as Prefix, "is for no host's address"],
];

/** The shortest length that is taken, in bits: what is shorter is a slip, and cuts the host off. */
const SHORTEST = { 4: 8, 6: 16 };

/** Parses a prefix whose addresses are all to be the host's. */
export function parseAnyip(text: string): { ok: true; value: Prefix } | Refused {
  const parsed = parsePrefix(text);
  if (!parsed.ok) return parsed;
  const { prefix } = parsed;
  const address = prefixAddress(prefix);
  const shortest = SHORTEST[address.includes(":") ? 6 : 4];
  const example = address.includes(":") ? "2001:db8:5::/48" : "203.0.113.0/24";
  if (prefixLength(prefix) < shortest) {
    return refuse(
      `${prefix} would make the host take whatever it sends to others for its own`,
      `write the prefix that is routed to this host, of at least ${shortest} bits, such as ${yamlText(example)}`,
    );
  }
  const what = isMulticast(address) ? "is multicast" : reasonOf(prefix, address);
  if (what === undefined) return { ok: true, value: prefix };
  return refuse(
    `${prefix} ${what}`,
    `write the prefix that is routed to this host, such as ${yamlText(example)}`,
  );
}

function reasonOf(prefix: Prefix, address: Address): string | undefined {
  const found = foreign.find(
    ([other]) => prefixContains(other, address) || prefixContains(prefix, prefixAddress(other)),
  );
  return found?.[1];
}
