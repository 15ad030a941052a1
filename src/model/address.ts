/**
 * IPv4 and IPv6 addresses and prefixes, parsed strictly: what one program reads as octal and
 * another as decimal is refused, with a hint at what to write instead. A value of type `Address` or
 * `Prefix` is canonical text, so `===` and Map keys work.
 */

declare const addressBrand: unique symbol;
declare const prefixBrand: unique symbol;

/**
 * An address as canonical text: dotted decimal, or RFC 5952 with lower-case groups in hexadecimal
 * throughout. It is never v4-mapped and never has a zone.
 */
export type Address = string & { readonly [addressBrand]: true };
/** A prefix as canonical text `ADDRESS/LENGTH`; the bits beyond the length are zero. */
export type Prefix = string & { readonly [prefixBrand]: true };
export type Family = 4 | 6;

/** Why a text is refused, and what would be right. Both continue the text that was given. */
export interface Refusal {
  readonly ok: false;
  readonly reason: string;
  readonly hint: string;
}

const DOT = 0x2e;
const COLON = 0x3a;

/**
 * The groups of the IPv6 address parsed last, in host byte order. Parsing is synchronous, so one
 * buffer is enough.
 */
const groups = new Uint16Array(8);

/**
 * Parses an address written in full; the refusals below list what is not supported. Allocates
 * nothing for IPv4.
 */
export function parseAddress(text: string): { ok: true; address: Address } | Refusal {
  if (text.includes(":")) {
    if (readIpv6(text) && !groupsAreMapped()) return { ok: true, address: formatGroups() };
    return refuseAddress(text);
  }
  return readIpv4(text, text.length) >= 0
    ? { ok: true, address: text as Address }
    : refuseAddress(text);
}

/** Parses `ADDRESS/LENGTH`. A bare address is the prefix of that one address. */
export function parsePrefix(text: string): { ok: true; prefix: Prefix } | Refusal {
  const slash = text.indexOf("/");
  const base = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!base.ok) return base;
  const { address } = base;
  const bits = addressBits(address);
  if (slash < 0) return { ok: true, prefix: `${address}/${bits}` as Prefix };

  const lengthText = text.slice(slash + 1);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(lengthText)) {
    return refuseLength(address, lengthText);
  }
  const length = Number(lengthText);
  if (length > bits) {
    return refusal(
      `the prefix length ${length} is more than ${bits}`,
      `an IPv${familyOf(address)} prefix length is 0 to ${bits}`,
    );
  }
  const network = length === bits ? address : maskAddress(address, length);
  if (network !== address) {
    return refusal(
      `${address} has bits set below the prefix length ${length}`,
      `write ${network}/${length} for the network, or ${address} for the one address`,
    );
  }
  // An IPv6 prefix inside ::ffff:0:0/96 can only be that one itself, or a longer one whose address
  // is mapped and was refused above.
  return { ok: true, prefix: `${address}/${length}` as Prefix };
}

export function familyOf(value: Address | Prefix): Family {
  return value.includes(":") ? 6 : 4;
}

/** Returns the length in bits of the prefix's own family: 0 to 32, or 0 to 128. */
export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf("/") + 1));
}

export function prefixAddress(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf("/")) as Address;
}

/**
 * Reports whether the address lies in the prefix. An address of the other family never does, not
 * even in ::/0.
 */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  const family = familyOf(prefix);
  if (family !== familyOf(address)) return false;
  if (family === 4) {
    // Comparing numbers allocates nothing. Mind that a shift by 32 bits does nothing.
    const other = 32 - prefixLength(prefix);
    const differs = ipv4Number(prefix) ^ readIpv4(address, address.length);
    return other === 32 || differs >>> other === 0;
  }
  const { bytes, length } = prefixBits(prefix);
  return commonBits(bytes, addressBytes(address)) >= length;
}

/** Reports whether the prefix overlaps the network of an address, of so many bits. */
export function overlaps(prefix: Prefix, address: Address, bits: number): boolean {
  const family = familyOf(prefix);
  if (family !== familyOf(address)) return false;
  const shorter = Math.min(prefixLength(prefix), bits) + (family === 4 ? 96 : 0);
  return commonBits(prefixBits(prefix).bytes, addressBytes(address)) >= shorter;
}

/** Returns 16 bytes in network byte order; IPv4 as ::ffff:a.b.c.d. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(16);
  if (address.includes(":")) {
    readIpv6(address);
    for (let index = 0; index < 8; index++) {
      const group = groups[index]!;
      bytes[index * 2] = group >> 8;
      bytes[index * 2 + 1] = group & 0xff;
    }
    return bytes;
  }
  const value = readIpv4(address, address.length);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  bytes[12] = Math.floor(value / 0x1000000);
  bytes[13] = (value >>> 16) & 0xff;
  bytes[14] = (value >>> 8) & 0xff;
  bytes[15] = value & 0xff;
  return bytes;
}

/** Returns the address of an IPv4 prefix as a number in host byte order. */
export function ipv4Number(prefix: Prefix): number {
  return readIpv4(prefix, prefix.indexOf("/"));
}

/**
 * Reads an address from 16 bytes in network byte order at `offset`. A v4-mapped one becomes IPv4.
 * Throws RangeError when there are fewer bytes.
 */
export function addressFromBytes(bytes: Uint8Array, offset = 0): Address {
  if (offset < 0 || offset + 16 > bytes.length) {
    throw new RangeError(`an address needs 16 bytes at ${offset}, there are ${bytes.length}`);
  }
  for (let index = 0; index < 8; index++) {
    groups[index] = (bytes[offset + index * 2]! << 8) | bytes[offset + index * 2 + 1]!;
  }
  return groupsAreMapped() ? formatMapped() : formatGroups();
}

/**
 * Returns the prefix in the 128-bit space where IPv4 is ::ffff:0:0/96, so that IPv4 /n has 96 + n
 * bits. Beware: in that space, an IPv6 prefix of up to 80 bits of ::/80 (such as ::/0) also covers
 * IPv4, unlike in `prefixContains`. Lookups in it must keep the families apart.
 */
export function prefixBits(prefix: Prefix): { bytes: Uint8Array; length: number } {
  const own = prefixLength(prefix);
  return {
    bytes: addressBytes(prefixAddress(prefix)),
    length: familyOf(prefix) === 4 ? 96 + own : own,
  };
}

/** Reports whether the address is in 127.0.0.0/8, which can be bound on every host as it is. */
export function isLoopback4(address: Address): boolean {
  return address.startsWith("127.");
}

/** Reports whether only the machine itself reaches the address, wherever it is. */
export function isLoopback(address: Address): boolean {
  return isLoopback4(address) || address === "::1";
}

/** Reports whether the address is in fc00::/7 (RFC 4193). */
export function isUniqueLocal6(address: Address): boolean {
  return address.includes(":") && readIpv6(address) && (groups[0]! & 0xfe00) === 0xfc00;
}

/**
 * Reports whether the address is in fe80::/10, where an address means nothing without an interface.
 */
export function isLinkLocal6(address: Address): boolean {
  return address.includes(":") && readIpv6(address) && (groups[0]! & 0xffc0) === 0xfe80;
}

/** Reports whether the address is 0.0.0.0 or ::, to which wildcard listeners are bound. */
export function isUnspecified(address: Address): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** Reports whether the address is in 224.0.0.0/4 or ff00::/8. */
export function isMulticast(address: Address): boolean {
  if (address.includes(":")) return /^ff[0-9a-f]{2}:/.test(address);
  const first = Number(address.slice(0, address.indexOf(".")));
  return first >= 224 && first <= 239;
}

/**
 * Reports whether one may give the address to one's own daemons: RFC 1918, RFC 4193 or 127.0.0.0/8.
 */
export function isOwnable(address: Address): boolean {
  return (
    isLoopback4(address) ||
    isUniqueLocal6(address) ||
    /^(?:10|172\.(?:1[6-9]|2[0-9]|3[01])|192\.168)\./.test(address)
  );
}

/**
 * Reports whether the address is in 240.0.0.0/4, except the broadcast address: reserved by RFC
 * 1112, but unicast to Linux.
 */
export function isReserved(address: Address): boolean {
  if (address.includes(":") || isBroadcast(address)) return false;
  return Number(address.slice(0, address.indexOf("."))) >= 240;
}

/**
 * Reports whether the address is 255.255.255.255. Only the host knows the broadcast addresses of
 * subnets.
 */
export function isBroadcast(address: Address): boolean {
  return address === "255.255.255.255";
}

function addressBits(address: Address): number {
  return address.includes(":") ? 128 : 32;
}

function maskAddress(address: Address, length: number): Address {
  const bytes = addressBytes(address);
  const start = address.includes(":") ? length : 96 + length;
  for (let bit = start; bit < 128; bit++) {
    const index = bit >> 3;
    bytes[index] = bytes[index]! & ~(0x80 >> (bit & 7));
  }
  if (familyOf(address) === 4) return addressFromBytes(bytes);
  return formatGroupsOf(bytes);
}

/**
 * Formats 16 bytes like addressFromBytes, but always as IPv6. Masking ::fffe:0:0-like addresses
 * never makes a mapped one, yet the type should not depend on that.
 */
function formatGroupsOf(bytes: Uint8Array): Address {
  for (let index = 0; index < 8; index++) {
    groups[index] = (bytes[index * 2]! << 8) | bytes[index * 2 + 1]!;
  }
  return formatGroups();
}

/** Returns how many leading bits two 16-byte addresses share. */
function commonBits(left: Uint8Array, right: Uint8Array): number {
  for (let index = 0; index < 16; index++) {
    const difference = left[index]! ^ right[index]!;
    if (difference !== 0) return index * 8 + Math.clz32(difference) - 24;
  }
  return 128;
}

/**
 * Returns the value of `a.b.c.d`, which has to fill the text from `start` to `end`, or -1. Accepts
 * four decimal octets without leading zeros.
 */
function readIpv4(text: string, end: number, start = 0): number {
  if (end - start < 7 || end - start > 15) return -1;
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let index = start; index < end; index++) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      if (octet < 0 || ++dots > 3) return -1;
      value = value * 256 + octet;
      octet = -1;
    } else {
      const digit = code - 0x30;
      if (digit < 0 || digit > 9 || octet === 0) return -1;
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return -1;
    }
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1;
}

/**
 * Reads the text into `groups`. Returns false when it is not an IPv6 address. The last 32 bits may
 * be dotted decimal.
 */
function readIpv6(text: string): boolean {
  const end = text.length;
  if (end < 2 || end > 45) return false;
  let count = 0;
  let gap = -1;
  let index = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false;
    gap = 0;
    index = 2;
  }
  while (index < end) {
    const start = index;
    let group = 0;
    for (; index < end; index++) {
      const digit = hexDigit(text.charCodeAt(index));
      if (digit < 0) break;
      group = group * 16 + digit;
      if (index - start >= 4) return false;
    }
    if (index === start) return false;
    const code = index < end ? text.charCodeAt(index) : -1;
    if (code === DOT) {
      const value = readIpv4(text, end, start);
      if (value < 0 || count > 6) return false;
      groups[count++] = Math.floor(value / 65536);
      groups[count++] = value % 65536;
      break;
    }
    if (count > 7) return false;
    groups[count++] = group;
    if (code < 0) break;
    if (code !== COLON) return false;
    index++;
    if (index === end) return false;
    if (text.charCodeAt(index) === COLON) {
      if (gap >= 0) return false;
      gap = count;
      index++;
    }
  }
  if (gap < 0) return count === 8;
  if (count > 7) return false;
  const tail = count - gap;
  groups.copyWithin(8 - tail, gap, count);
  groups.fill(0, gap, 8 - tail);
  return true;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function groupsAreMapped(): boolean {
  return (
    groups[5] === 0xffff &&
    groups[0] === 0 &&
    groups[1] === 0 &&
    groups[2] === 0 &&
    groups[3] === 0 &&
    groups[4] === 0
  );
}

function formatMapped(): Address {
  const high = groups[6]!;
  const low = groups[7]!;
  return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}` as Address;
}

/**
 * Formats per RFC 5952: no leading zeros, lower case, `::` for the first longest run of at least
 * two zero groups.
 */
function formatGroups(): Address {
  let bestStart = -1;
  let bestLength = 1;
  for (let index = 0; index < 8;) {
    const start = index;
    while (index < 8 && groups[index] === 0) index++;
    if (index - start > bestLength) {
      bestStart = start;
      bestLength = index - start;
    }
    if (index < 8) index++;
  }
  let text = "";
  for (let index = 0; index < 8; index++) {
    if (index === bestStart) {
      text += "::";
      index += bestLength - 1;
      continue;
    }
    if (text !== "" && text.charCodeAt(text.length - 1) !== COLON) text += ":";
    text += groups[index]!.toString(16);
  }
  return text as Address;
}

function refusal(reason: string, hint: string): Refusal {
  return { ok: false, reason, hint };
}

function quote(text: string): string {
  const shown = text.length > 64 ? `${text.slice(0, 61)}...` : text;
  return JSON.stringify(shown);
}

const EXAMPLE = "write an IPv4 address such as 127.0.1.10 or an IPv6 address such as fd5e:ed00::10";

/** Explains why `parseAddress` refused a text. It is slow, and only for the message. */
function refuseAddress(text: string): Refusal {
  if (text === "") return refusal("the address is empty", EXAMPLE);
  const shown = quote(text);
  if (/\s/.test(text)) {
    return refusal(`${shown} contains white space`, suggest(text.replace(/\s+/g, "")));
  }
  if (/[[\]]/.test(text)) {
    return refusal(
      `${shown} has brackets, which are for an address with a port`,
      suggest(text.replace(/[[\]]/g, "")),
    );
  }
  const slash = text.indexOf("/");
  if (slash >= 0) {
    return refusal(`${shown} is a prefix, one address is needed`, suggest(text.slice(0, slash)));
  }
  const percent = text.indexOf("%");
  if (percent >= 0) {
    return refusal(
      `${shown} has a zone, which addresses here cannot have`,
      suggest(text.slice(0, percent)),
    );
  }
  const port = /^([0-9.]+):[0-9]*$/.exec(text);
  if (port !== null) {
    return refusal(`${shown} has a port, an address alone is needed`, suggest(port[1] ?? ""));
  }
  return text.includes(":") ? refuseIpv6(text, shown) : refuseIpv4(text, shown);
}

function suggest(text: string): string {
  const parsed = parseAddress(text);
  return parsed.ok ? `write ${parsed.address}` : EXAMPLE;
}

function refuseIpv6(text: string, shown: string): Refusal {
  if (readIpv6(text)) {
    return refusal(`${shown} is a v4-mapped address`, `write it as IPv4: ${formatMapped()}`);
  }
  const tail = text.slice(text.lastIndexOf(":") + 1);
  if (tail.includes(".") && readIpv4(tail, tail.length) < 0) {
    const inner = refuseIpv4(tail, quote(tail));
    return refusal(`${shown} does not end in an IPv4 address: ${inner.reason}`, EXAMPLE);
  }
  if (!/^[0-9a-fA-F:.]*$/.test(text)) return refusal(`${shown} is not an address`, EXAMPLE);
  if (text.includes(":::")) {
    return refusal(`${shown} has more than two colons in a row`, EXAMPLE);
  }
  if (text.indexOf("::") !== text.lastIndexOf("::")) {
    return refusal(
      `${shown} has more than one "::"`,
      `"::" is allowed once, for the zeros left out`,
    );
  }
  const longGroup = text.split(":").find((group) => !group.includes(".") && group.length > 4);
  if (longGroup !== undefined) {
    return refusal(
      `${shown} has the group ${quote(longGroup)}, longer than four digits`,
      "an IPv6 address has eight groups of one to four hexadecimal digits",
    );
  }
  return refusal(
    `${shown} is not an IPv6 address`,
    `an IPv6 address has eight groups of hexadecimal digits, or fewer with one "::" for the zeros left out`,
  );
}

function refuseIpv4(text: string, shown: string): Refusal {
  if (!/^[0-9a-fA-FxX.]+$/.test(text)) return refusal(`${shown} is not an address`, EXAMPLE);
  const parts = text.split(".");
  if (parts.includes("")) return refusal(`${shown} is not an address`, EXAMPLE);
  if (parts.some((part) => /^0[xX]/.test(part))) {
    return refusal(`${shown} has a hexadecimal octet`, "write four decimal octets, each 0 to 255");
  }
  if (!parts.every((part) => /^[0-9]+$/.test(part))) {
    return refusal(`${shown} is not an address`, EXAMPLE);
  }
  const zero = parts.find((part) => part.length > 1 && part.startsWith("0"));
  if (zero !== undefined) {
    const decimal = parts.map((part) => part.replace(/^0+(?=[0-9])/, "")).join(".");
    return refusal(
      `${shown} has the octet ${quote(zero)} with a leading zero, which some programs read as octal`,
      readIpv4(decimal, decimal.length) >= 0 ? `write ${decimal} if decimal is meant` : EXAMPLE,
    );
  }
  if (parts.length < 4) {
    return refusal(`${shown} is a short form`, expandShort(parts));
  }
  if (parts.length > 4) {
    return refusal(`${shown} has ${parts.length} octets`, "an IPv4 address has four octets");
  }
  const large = parts.find((part) => part.length > 3 || Number(part) > 255);
  return refusal(
    `${shown} has the octet ${large ?? ""}, more than 255`,
    "write four decimal octets, each 0 to 255",
  );
}

/** Expands a short form as inet_aton does, to a full address. */
function expandShort(parts: readonly string[]): string {
  const leading = parts.slice(0, -1).map(Number);
  const last = Number(parts.at(-1));
  const room = 4 - leading.length;
  if (parts.length < 2 || leading.some((octet) => octet > 255) || last >= 256 ** room) {
    return "write all four octets, each 0 to 255";
  }
  const rest = Array.from(
    { length: room },
    (_, index) => Math.floor(last / 256 ** (room - 1 - index)) % 256,
  );
  return `write all four octets: ${[...leading, ...rest].join(".")}`;
}

function refuseLength(address: Address, lengthText: string): Refusal {
  const bits = addressBits(address);
  const range = `an IPv${familyOf(address)} prefix length is 0 to ${bits}`;
  if (lengthText === "") return refusal("the prefix length is missing", range);
  if (/^0+[0-9]+$/.test(lengthText)) {
    return refusal(
      `the prefix length ${quote(lengthText)} has a leading zero`,
      `write ${address}/${lengthText.replace(/^0+(?=[0-9])/, "")}`,
    );
  }
  if (lengthText.includes(".") || lengthText.includes(":")) {
    return refusal(
      `${quote(lengthText)} is a mask, not a prefix length`,
      `count its bits: ${range}`,
    );
  }
  if (/^[0-9]+$/.test(lengthText)) {
    return refusal(`the prefix length ${quote(lengthText)} is more than ${bits}`, range);
  }
  return refusal(`the prefix length ${quote(lengthText)} is not a number`, range);
}
