/**
 * Addresses that services get by themselves (`address: auto`): one of 127.0.0.0/8 and one out of
 * the host's own /48 of fd00::/8, from the service's name. The same name gives the same addresses
 * each time.
 */
import { createHash } from "node:crypto";

import {
  addressBytes,
  addressFromBytes,
  familyOf,
  parsePrefix,
  prefixAddress,
  prefixLength,
  type Address,
  type Prefix,
  type Refusal,
} from "../model/address.js";
import { parseServiceAddress } from "./destination.js";
import { quote } from "./source.js";

/** An address of a service as it is written. */
export type OwnAddress = Address | "auto";

export function parseOwnAddress(text: string): { ok: true; value: OwnAddress } | Refusal {
  if (text === "auto") return { ok: true, value: text };
  const parsed = parseServiceAddress(text);
  if (parsed.ok) return { ok: true, value: parsed.address };
  if (!/^(?:auto(?:matic(?:ally)?)?|default)$/i.test(text)) return parsed;
  return { ok: false, reason: `${quote(text)} is not an address`, hint: "did you mean auto?" };
}

const ULA_EXAMPLE = "fd5e:ed00:1::/48";

/** Parses the prefix of the host's own addresses: a /48 of fd00::/8 (RFC 4193). */
export function parseUla(text: string): { ok: true; value: Prefix } | Refusal {
  const example = `write a /48 of fd00::/8, such as "${ULA_EXAMPLE}"`;
  const parsed = parsePrefix(text);
  if (!parsed.ok) return text.includes(":") ? parsed : { ...parsed, hint: example };
  const { prefix } = parsed;
  if (familyOf(prefix) === 4 || !prefix.startsWith("fd")) {
    return { ok: false, reason: `${quote(text)} is not in fd00::/8`, hint: example };
  }
  if (prefixLength(prefix) === 48) return { ok: true, value: prefix };
  const whole = parsePrefix(`${prefixAddress(prefix)}/48`);
  return {
    ok: false,
    reason: `${quote(text)} is not a /48`,
    hint: whole.ok ? `write "${whole.prefix}"` : example,
  };
}

/** What the digests are of: nobody else's digest of the same text is the same. */
const LABELS = {
  ipv4: "ilm service address 127.64.0.0/10",
  ipv6: "ilm service address in the ULA",
  machine: "ilm ULA of the machine",
} as const;

/** Returns 32 bytes. */
function digest(label: keyof typeof LABELS, text: string): Uint8Array {
  return createHash("sha256").update(`${LABELS[label]}\0${text}`).digest();
}

/**
 * Returns the host's own /48, from what /etc/machine-id holds. A digest is taken, since the id
 * itself is not to be shown (machine-id(5)).
 */
export function ulaOfMachine(machineId: string): Prefix {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(digest("machine", machineId).subarray(0, 5), 1);
  return `${addressFromBytes(bytes)}/48` as Prefix;
}

/** Returns a service's own address of 127.64.0.0/10, whose last byte is neither 0 nor 255. */
export function ownIpv4(name: string): Address {
  const bytes = digest("ipv4", name);
  const [second = 0, third = 0, fourth = 0] = bytes;
  return `127.${64 + (second & 63)}.${third}.${1 + (fourth % 254)}` as Address;
}

/** Returns a service's own address in subnet 0 of the /48. Its last 64 bits are not all zero. */
export function ownIpv6(name: string, ula: Prefix): Address {
  const bytes = addressBytes(prefixAddress(ula));
  const own = digest("ipv6", name).subarray(0, 8);
  if (own.every((byte) => byte === 0)) own[7] = 1;
  bytes.set(own, 8);
  return addressFromBytes(bytes);
}
