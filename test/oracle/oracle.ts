/**
 * What a lookup has to decide, written down as plainly as the design says it and as slowly as that
 * makes it. It knows nothing of tables, classes or tries: it goes through all mappings and all
 * listeners for each packet.
 */
import type { Packet, Verdict } from "../../src/model/decision.js";
import { type Destination, type Mapping, type Owner } from "../../src/model/mapping.js";
import { type Rules, allMappings } from "../../src/model/rules.js";

export interface Socket {
  readonly protocol: "tcp" | "udp";
  /** Canonical text; a socket bound to a v4-mapped address has its IPv4 address here. */
  readonly address: string;
  readonly port: number;
  /** True for an IPv6 socket that takes no IPv4. */
  readonly v6only: boolean;
  readonly uid: number;
  readonly gid: number;
  readonly cookie: string;
  /**
   * It was there at the last change of the rules: a UDP socket is put into a map then, when it is
   * to be in one.
   */
  readonly early: boolean;
}

export interface Expected {
  readonly verdict: Verdict;
  /** Index into the mappings; null when unmanaged. */
  readonly mapping: number | null;
  /** Index into the mapping's `to`; null unless selected. */
  readonly destination: number | null;
  /** Cookies of the sockets of which one is selected: more than one for a SO_REUSEPORT group. */
  readonly cookies: readonly string[];
}

/** Reports whether the program's answer is the expected one. */
export function agrees(
  { verdict, mapping, destination, cookies }: Expected,
  answer: Omit<Expected, "cookies" | "verdict"> & {
    readonly verdict: string;
    readonly cookie: string | null;
  },
): boolean {
  return (
    answer.verdict === verdict &&
    answer.mapping === mapping &&
    answer.destination === destination &&
    (cookies.length === 0
      ? answer.cookie === null
      : answer.cookie !== null && cookies.includes(answer.cookie))
  );
}

const isIpv6 = (text: string): boolean => text.includes(":");
const lengthOf = (prefix: string): number => Number(prefix.split("/")[1]);
const isHost = (prefix: string): boolean => lengthOf(prefix) === (isIpv6(prefix) ? 128 : 32);

/** The address as a string of 32 or 128 binary digits, so that a prefix is a prefix. */
export function bits(address: string): string {
  if (!isIpv6(address)) {
    return address
      .split(".")
      .map((byte) => Number(byte).toString(2).padStart(8, "0"))
      .join("");
  }
  const [head = "", tail] = address.split("::");
  const groups = (text: string): readonly string[] => (text === "" ? [] : text.split(":"));
  const left = groups(head);
  const right = groups(tail ?? "");
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...zeros, ...right]
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0"))
    .join("");
}

function contains(prefix: string, address: string): boolean {
  const [network = ""] = prefix.split("/");
  return (
    isIpv6(prefix) === isIpv6(address) &&
    bits(address).startsWith(bits(network).slice(0, lengthOf(prefix)))
  );
}

const covers = (mapping: Mapping, port: number): boolean =>
  mapping.ports.some(({ first, last }) => first <= port && port <= last);
const size = (mapping: Mapping): number =>
  mapping.ports.reduce((sum, { first, last }) => sum + last - first + 1, 0);

/**
 * How well `on` fits the address: the length of the longest prefix that holds it; 0 for all
 * addresses; null: not at all.
 */
function fit(mapping: Mapping, address: string): number | null {
  if (mapping.on.length === 0) return 0;
  const lengths = mapping.on.filter((prefix) => contains(prefix, address)).map(lengthOf);
  return lengths.length === 0 ? null : Math.max(...lengths);
}

/** The same for `from`; of prefixes, the longest that holds the address counts. */
function fitFrom({ from }: Mapping, remote: string): number | null {
  if (from === undefined) return 0;
  const lengths = from.filter((prefix) => contains(prefix, remote)).map(lengthOf);
  return lengths.length === 0 ? null : Math.max(...lengths);
}

/** The data plane's secret, for whoever asks the oracle. */
export const drawSeed = 0x5eed_cafe;

/**
 * Returns -log2(h / 2^32) with 24 bits behind the point, as the programs compute it
 * (bpf/weights.h, negative_log2). With the true one, two draws that are nearly the same come out in
 * another order, once in 20,000.
 */
function negativeLog2(h: number): bigint {
  const octave = BigInt(Math.clz32(h));
  const t = (0x1_0000_0000n - (BigInt(h) << octave)) >> 7n;
  const q = [0x0f_e93an, 0x07_ced9n, 0x2f_9db2n, 0xb8_aa3bn].reduce(
    (sum, next) => next + ((sum * t) >> 24n),
    0n,
  );
  return (octave << 24n) + ((q * t) >> 24n);
}

/**
 * How a client draws among weights, in words: the destination with the least -log2(u) / weight,
 * with a u of its own for each.
 */
function draw(
  remote: string,
  remotePort: number,
  address: string,
  port: number,
  weight: number,
): bigint {
  const mix = (value: number): number => {
    let h = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  };
  const hash = (text: string, seed: number): number => {
    const ipv4 = isIpv6(text) ? "" : `${"0".repeat(80)}${"1".repeat(16)}`;
    // Words as a little-endian machine reads the bytes of the address.
    const word = (index: number): number =>
      [3, 2, 1, 0].reduce(
        (value, byte) =>
          value * 256 +
          Number.parseInt((ipv4 + bits(text)).slice(index * 32 + byte * 8).slice(0, 8), 2),
        0,
      );
    let h = Math.imul(seed ^ word(0), 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ word(1), 0x85ebca77);
    h = Math.imul(h ^ (h >>> 13) ^ word(2), 0xc2b2ae3d);
    h = Math.imul(h ^ (h >>> 16) ^ word(3), 0x27d4eb2f);
    return (h ^ (h >>> 15)) >>> 0;
  };
  const h = mix((hash(remote, remotePort ^ drawSeed) ^ mix(hash(address, port))) >>> 0);
  return (negativeLog2(Math.max(h, 1)) << 20n) / BigInt(weight);
}

/** Can a socket that is bound to this address take a packet of this family at all? */
const takes = (socket: Socket, ipv6: boolean): boolean =>
  isIpv6(socket.address) ? ipv6 || !socket.v6only : !ipv6;

const isWildcard = (socket: Socket): boolean =>
  socket.address === "0.0.0.0" || socket.address === "::";

/**
 * The order in which destinations are tried: among neighbours of one service, the packet's own
 * family first.
 */
function order(to: readonly Destination[], ipv6: boolean): readonly number[] {
  const isOwn = (index: number): boolean => {
    const address = to[index]?.address ?? "*";
    return address === "*" || isIpv6(address) === ipv6;
  };
  const runs: number[][] = [];
  to.forEach((destination, index) => {
    const last = runs.at(-1);
    const before = to[index - 1];
    if (
      last !== undefined &&
      destination.service !== undefined &&
      before?.service === destination.service
    ) {
      last.push(index);
    } else {
      runs.push([index]);
    }
  });
  return runs.flatMap((run) => [...run.filter(isOwn), ...run.filter((index) => !isOwn(index))]);
}

/** Is it the owner's? Root is each user and group. */
const isOwners = ({ uid, gid }: Socket, { user, group }: Owner): boolean =>
  uid === 0 || ((user === undefined || user === uid) && (group === undefined || group === gid));

/** The owner of the service that has the address. */
const ownerOf = ({ file }: Rules, address: string): Owner | undefined =>
  file.services.find(({ addresses }) => addresses.some((own) => own === address))?.owner;

/** May the socket have what the mapping covers? */
function isWelcome(rules: Rules, { to, listeners = [] }: Mapping, socket: Socket): boolean {
  if (rules.file.strangers !== "refuse" || listeners === "anyone") return true;
  const led = to.map(({ address }) => ownerOf(rules, address));
  return (
    socket.uid === 0 ||
    [...led, ...listeners].some((owner) => owner !== undefined && isOwners(socket, owner))
  );
}

/** The first port that takes no privilege to bind, in a new network namespace. */
export const UNPRIVILEGED = 1024;

/** Has root allowed whoever listens there, for the host itself? */
const isOfHost = (rules: Rules, address: string, port: number): boolean =>
  port < UNPRIVILEGED &&
  (address.startsWith("127.") || address === "::1") &&
  ownerOf(rules, address) === undefined;

/** May the mapping select the socket where it listens? On a wildcard address it says so itself. */
function isSelectable(rules: Rules, mapping: Mapping, socket: Socket): boolean {
  if (isWildcard(socket)) return isWelcome(rules, mapping, socket);
  const owner = ownerOf(rules, socket.address);
  return owner === undefined || isOwners(socket, owner);
}

/** Is the destination one port, or does each port of the mapping have its own? */
const isOne = (mapping: Mapping, port: number | "same"): boolean =>
  port !== "same" || size(mapping) <= 256;

/** Does the destination get nobody new? */
function isDrained(
  { drained = [], file }: Rules,
  protocol: string,
  address: string,
  port: number,
  hasPort: boolean,
): boolean {
  return drained.some((one) => {
    const own = file.services.find(({ name }) => name === one.service)?.addresses ?? [];
    const places: readonly string[] = one.address === null ? own : [one.address];
    return (
      places.includes(address) &&
      (one.protocol === null || one.protocol === protocol) &&
      (one.port === null || (hasPort && one.port === port))
    );
  });
}

/** Is it for sk_lookup to give the socket? `nat`: the families of which there is NAT. */
function isInMap(
  socket: Socket,
  { handover = "auto" }: Destination,
  nat: ReadonlySet<4 | 6>,
): boolean {
  if (handover === "ingress") return false;
  if (socket.protocol === "tcp") return true;
  const families = isIpv6(socket.address)
    ? isWildcard(socket) && !socket.v6only
      ? ([4, 6] as const)
      : ([6] as const)
    : ([4] as const);
  return socket.early && (handover === "lookup" || families.some((family) => nat.has(family)));
}

/**
 * `interfaces`: names by index. `nat`: the families of which there is NAT; ingress gives none of
 * their packets.
 */
export function decide(
  rules: Rules,
  sockets: readonly Socket[],
  packet: Packet,
  interfaces: ReadonlyMap<number, string> = new Map(),
  nat: ReadonlySet<4 | 6> = new Set(),
): Expected {
  const { protocol, local, localPort, remote, remotePort, interfaceIndex } = packet;
  const ipv6 = isIpv6(local);
  const mappings = allMappings(rules);
  const unmanaged: Expected = {
    verdict: "unmanaged",
    mapping: null,
    destination: null,
    cookies: [],
  };
  const listening = sockets.filter((socket) => socket.protocol === protocol && takes(socket, ipv6));

  // 0. and 1.: which mapping. An address that a service owns is for those mappings only that name
  // it.
  const owned = rules.file.services.some(({ addresses }) =>
    addresses.some((address) => address === local),
  );
  const candidates = mappings
    .map((mapping, index) => ({
      mapping,
      index,
      fit: fit(mapping, local),
      from: fitFrom(mapping, remote),
    }))
    .filter(({ mapping, from }) => {
      const name = interfaces.get(interfaceIndex);
      const comesIn = name !== undefined && mapping.interfaces?.includes(name) === true;
      const isOver = mapping.until === 1;
      return from !== null && !isOver && (mapping.interfaces === undefined || comesIn);
    })
    .filter(
      ({ mapping, fit: length }) =>
        mapping.protocol === protocol && covers(mapping, localPort) && length !== null,
    )
    .filter(
      ({ mapping }) =>
        !owned || mapping.on.some((prefix) => isHost(prefix) && contains(prefix, local)),
    )
    .sort(
      (a, b) =>
        (b.fit ?? 0) - (a.fit ?? 0) ||
        size(a.mapping) - size(b.mapping) ||
        (b.from ?? 0) - (a.from ?? 0) ||
        Number(a.mapping.interfaces === undefined) - Number(b.mapping.interfaces === undefined),
    );
  const [best] = candidates;
  if (best === undefined) return unmanaged;
  const { mapping, index } = best;

  // 2.: who already listens there. Where somebody would get it who is not welcome, it is as if
  // nobody listened; and of a wildcard address all are asked, of any family.
  const here = sockets.filter(
    (socket) => socket.protocol === protocol && socket.port === localPort,
  );
  const exact = here.filter(({ address }) => address === local);
  const anywhere = ["::", "0.0.0.0"].flatMap((wildcard) => {
    const there = here.filter(({ address }) => address === wildcard);
    return there.some((socket) => takes(socket, ipv6)) ? there : [];
  });
  const anybody = isOfHost(rules, local, localPort);
  const areWelcome = (those: readonly Socket[]): boolean =>
    those.length > 0 && (anybody || those.every((socket) => isWelcome(rules, mapping, socket)));
  const keeps =
    exact.length > 0 ? areWelcome(exact) : mapping.existing === "any" && areWelcome(anywhere);
  if (keeps && mapping.existing !== "never") {
    return { verdict: "existing", mapping: index, destination: null, cookies: [] };
  }

  // 3.: the first destination that listens and can take this family; with weights, the one that the
  // client draws.
  const choices = order(mapping.to, ipv6).flatMap((destination) => {
    const { address, port, weight } = mapping.to[destination] ?? { address: "*", port: "same" };
    // It gets nobody new, and explain asks about clients that nobody has served.
    if (weight === 0) return [];
    const wanted = port === "same" ? localPort : port;
    if (isDrained(rules, protocol, address, wanted, isOne(mapping, port))) return [];
    const places: readonly string[] =
      address !== "*"
        ? [address]
        : weight === undefined
          ? ["*"]
          : ipv6
            ? ["::"]
            : ["0.0.0.0", "::"];
    return places.map((place) => ({
      destination,
      there: listening.filter(
        (socket) =>
          socket.port === wanted &&
          (place === "*" ? isWildcard(socket) : socket.address === place) &&
          isSelectable(rules, mapping, socket),
      ),
      drawn: weight === undefined ? 0n : draw(remote, remotePort, place, wanted, weight),
    }));
  });
  const live = choices
    .filter(({ there }) => there.length > 0)
    .sort((a, b) => (a.drawn < b.drawn ? -1 : a.drawn > b.drawn ? 1 : 0));
  for (const { destination, there } of live) {
    const target = mapping.to[destination];
    const reached =
      !nat.has(ipv6 ? 6 : 4) ||
      (target !== undefined && there.some((socket) => isInMap(socket, target, nat)));
    // A datagram is not given to another socket instead of who listens and is not reached; a
    // connection tries the next.
    if (!reached && protocol === "udp") {
      return { verdict: "rejected", mapping: index, destination: null, cookies: [] };
    }
    if (reached) {
      return {
        verdict: "selected",
        mapping: index,
        destination,
        cookies: there.map(({ cookie }) => cookie),
      };
    }
  }

  // 4.: nobody there. The kernel is not to give it to somebody who is not welcome.
  const heirs = exact.length > 0 ? exact : anywhere;
  const isRefused = heirs.length > 0 && !areWelcome(heirs);
  const verdict = mapping.miss === "reject" || isRefused ? "rejected" : "missed";
  return { verdict, mapping: index, destination: null, cookies: [] };
}

/**
 * Do two mappings tie: is there a port, and a prefix that both name, at which neither comes before
 * the other?
 */
export function tie(a: Mapping, b: Mapping): boolean {
  const sources = (mapping: Mapping): readonly string[] =>
    mapping.from?.map((prefix) => (lengthOf(prefix) === 0 ? `any ${isIpv6(prefix)}` : prefix)) ?? [
      "any true",
      "any false",
    ];
  // Only where the family can be that of a packet for `on`, too.
  const families = (mapping: Mapping): readonly boolean[] =>
    [true, false].filter(
      (ipv6) =>
        (mapping.on.length === 0 || mapping.on.some((prefix) => isIpv6(prefix) === ipv6)) &&
        (mapping.from === undefined || mapping.from.some((prefix) => isIpv6(prefix) === ipv6)),
    );
  const dialled = (mapping: Mapping): readonly string[] =>
    mapping.on.length === 0
      ? ["all true", "all false"]
      : mapping.on.map((prefix) => (lengthOf(prefix) === 0 ? `all ${isIpv6(prefix)}` : prefix));
  const isFamily = (text: string, ipv6: boolean): boolean =>
    text.endsWith("true") || text.endsWith("false")
      ? text.endsWith(String(ipv6))
      : isIpv6(text) === ipv6;
  const meet = families(a)
    .filter((ipv6) => families(b).includes(ipv6))
    .some((ipv6) =>
      [dialled, sources].every((list) =>
        list(a).some((one) => isFamily(one, ipv6) && list(b).includes(one)),
      ),
    );
  const together =
    a.interfaces === undefined || b.interfaces === undefined
      ? a.interfaces === b.interfaces
      : a.interfaces.some((name) => b.interfaces?.includes(name));
  const overlap = a.ports.some((x) => b.ports.some((y) => x.first <= y.last && y.first <= x.last));
  return a.protocol === b.protocol && overlap && size(a) === size(b) && meet && together;
}
