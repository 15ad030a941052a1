/**
 * What a frame is, read as the RFCs have it (791, 792, 4443, 6946, 8200, 9293, 768) and as slowly
 * as that makes it. It knows nothing of the programs. Two questions are told apart: can addresses
 * and ports be read (`readable`), and would a host take the packet at all (`intact`)? Lengths and
 * checksums are judged by the kernel behind ingress (ip_rcv_core, ip6_rcv_core, udp_rcv): what
 * ingress gives although they are wrong, no socket gets.
 */
export const UDP = 17;
export const TCP = 6;
export const ICMP = 1;
export const ICMPV6 = 58;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION = 60;
/** Where ingress stops; the kernel goes on, and may give such a packet by sk_lookup. */
const EXTENSIONS_MAX = 64;
const ETHERNET = 14;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const VLAN_TYPES: readonly number[] = [0x8100, 0x88a8];

export interface Read {
  /** The offset of the network header, in the frame as it was given. */
  readonly network: number;
  readonly family: 4 | 6;
  readonly protocol: number;
  /** 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly transport: number;
  /** Not cut in pieces; or an atomic fragment. The first of several: false. */
  readonly whole: boolean;
  /** A host takes it, as far as the headers say up to UDP's. */
  readonly intact: boolean;
  /** UDP and TCP only; 0 otherwise. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly tcpFlags: number;
}

/** Why the addresses and ports cannot be read, or must not be judged at ingress. */
export type Unreadable =
  | "short"
  | "other ethertype"
  | "for another host"
  | "vlan"
  | "version"
  | "header length"
  | "later fragment"
  | "segments left"
  | "too many headers"
  | "not unicast"
  | "other protocol";

const word = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** The ones' complement sum, folded; 0xffff when the checksum inside is right. */
export function sum(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let total = start;
  for (let at = from; at < to; at += 2) {
    total += ((bytes[at] ?? 0) << 8) | (at + 1 < to ? (bytes[at + 1] ?? 0) : 0);
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

interface Network {
  readonly protocol: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly transport: number;
  readonly end: number;
  readonly whole: boolean;
  readonly intact: boolean;
}

function readIpv4(bytes: Uint8Array, at: number): Network | Unreadable {
  if (bytes.length < at + 20) return "short";
  const first = bytes[at] ?? 0;
  if (first >> 4 !== 4) return "version";
  const header = (first & 0xf) * 4;
  if (header < 20) return "header length";
  const fragment = word(bytes, at + 6);
  if ((fragment & 0x1fff) !== 0) return "later fragment";
  const total = word(bytes, at + 2);
  return {
    protocol: bytes[at + 9] ?? 0,
    source: bytes.subarray(at + 12, at + 16),
    destination: bytes.subarray(at + 16, at + 20),
    transport: at + header,
    end: at + total,
    whole: (fragment & 0x2000) === 0,
    intact:
      total >= header &&
      at + total <= bytes.length &&
      sum(bytes, at, Math.min(at + header, bytes.length)) === 0xffff,
  };
}

function readIpv6(bytes: Uint8Array, at: number, most: number): Network | Unreadable {
  if (bytes.length < at + 40) return "short";
  if ((bytes[at] ?? 0) >> 4 !== 6) return "version";
  const payload = word(bytes, at + 4);
  let protocol = bytes[at + 6] ?? 0;
  // Without a length it is a jumbogram, and the kernel goes by what there is.
  const jumbo = payload === 0 && protocol === HOP_BY_HOP;
  const end = jumbo ? bytes.length : at + 40 + payload;
  let intact = end <= bytes.length;
  let transport = at + 40;
  let whole = true;
  for (let passed = 0; ; passed++) {
    const isExtension =
      protocol === HOP_BY_HOP ||
      protocol === ROUTING ||
      protocol === FRAGMENT ||
      protocol === AUTHENTICATION ||
      protocol === DESTINATION;
    if (passed === most) return "too many headers";
    if (!isExtension) break;
    if (bytes.length < transport + 4) return "short";
    // Only the first may be one (RFC 8200, 4.1).
    if (protocol === HOP_BY_HOP && passed > 0) intact = false;
    const length = bytes[transport + 1] ?? 0;
    const next = bytes[transport] ?? 0;
    if (protocol === FRAGMENT) {
      const field = word(bytes, transport + 2);
      if (field >> 3 !== 0) return "later fragment";
      if ((field & 1) !== 0) whole = false;
      transport += 8;
    } else if (protocol === AUTHENTICATION) {
      transport += (length + 2) * 4;
    } else {
      if (protocol === ROUTING && bytes[transport + 3] !== 0) return "segments left";
      transport += (length + 1) * 8;
    }
    protocol = next;
  }
  return {
    protocol,
    source: bytes.subarray(at + 8, at + 24),
    destination: bytes.subarray(at + 24, at + 40),
    transport,
    end,
    whole,
    intact,
  };
}

function isUnicast(destination: Uint8Array): boolean {
  const [first = 0, second, third, last] = destination;
  if (destination.length === 16) return first !== 0xff;
  const isHostsAll = second === 255 && third === 255 && last === 255;
  return first >> 4 !== 14 && !(isHostsAll && (first === 255 || first === 127));
}

/**
 * `stripsTag`: as a device that takes the first VLAN tag off, as all do that receive for real.
 * `host`: its MAC address; `most`: how many extension headers.
 */
export function readFrame(
  bytes: Uint8Array,
  host: Uint8Array,
  stripsTag: boolean,
  most: number = EXTENSIONS_MAX,
): Read | Unreadable {
  if (bytes.length < ETHERNET) return "short";
  if (host.some((byte, at) => bytes[at] !== byte)) return "for another host";
  let network = ETHERNET;
  let type = word(bytes, 12);
  if (stripsTag && VLAN_TYPES.includes(type)) {
    if (bytes.length < ETHERNET + 4) return "short";
    // Number 0 is no VLAN, but a priority (IEEE 802.1Q).
    if ((word(bytes, 14) & 0xfff) !== 0) return "vlan";
    type = word(bytes, 16);
    network += 4;
  }
  if (type !== ETHERTYPE_IPV4 && type !== ETHERTYPE_IPV6) return "other ethertype";
  const family = type === ETHERTYPE_IPV4 ? 4 : 6;
  const ip = family === 4 ? readIpv4(bytes, network) : readIpv6(bytes, network, most);
  if (typeof ip === "string") return ip;
  if (!isUnicast(ip.destination)) return "not unicast";
  const { protocol, transport, end } = ip;
  const base = { network, family, ...ip, sourcePort: 0, destinationPort: 0, tcpFlags: 0 } as const;
  if (protocol === (family === 4 ? ICMP : ICMPV6)) return base;
  if (protocol !== UDP && protocol !== TCP) return "other protocol";
  if (bytes.length < transport + (protocol === TCP ? 14 : 4)) return "short";
  const udpLength = word(bytes, transport + 4);
  const udpFits =
    transport + 8 <= end &&
    (family === 6 && udpLength === 0 ? true : udpLength >= 8 && transport + udpLength <= end);
  return {
    ...base,
    intact: ip.intact && (protocol === TCP || !ip.whole || udpFits),
    sourcePort: word(bytes, transport),
    destinationPort: word(bytes, transport + 2),
    tcpFlags: protocol === TCP ? (bytes[transport + 13] ?? 0) : 0,
  };
}

export interface Quote {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Offsets of what a host would change to lead the error elsewhere. */
  readonly sourceAt: number;
  readonly portAt: number;
}

/**
 * The UDP datagram that an ICMP error is about; undefined: it is no error, or not about one, or
 * does not say of which ports.
 */
export function readQuote(bytes: Uint8Array, outer: Read): Quote | undefined {
  const { family, transport, whole } = outer;
  if (!whole || bytes.length < transport + 1) return undefined;
  const type = bytes[transport] ?? 0;
  const isError = family === 4 ? [3, 11, 12].includes(type) : type >= 1 && type <= 4;
  if (!isError) return undefined;
  const at = transport + 8;
  const ip = family === 4 ? readIpv4(bytes, at) : readIpv6(bytes, at, EXTENSIONS_MAX);
  if (typeof ip === "string" || ip.protocol !== UDP || bytes.length < ip.transport + 4) {
    return undefined;
  }
  // Answers leave with no other extension header than that of a fragment: what quotes more is about
  // none.
  const isAnswer =
    ip.transport === at + 40 || (bytes[at + 6] === FRAGMENT && ip.transport === at + 48);
  if (family === 6 && !isAnswer) return undefined;
  return {
    source: ip.source,
    destination: ip.destination,
    sourcePort: word(bytes, ip.transport),
    destinationPort: word(bytes, ip.transport + 2),
    sourceAt: at + (family === 4 ? 12 : 8),
    portAt: ip.transport,
  };
}
