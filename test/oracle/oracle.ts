/**
 * What a lookup has to decide, written down as plainly as the design says it and as slowly as that makes it. It knows
 * nothing of tables, classes or tries: it goes through all mappings and all listeners for each packet.
 */
import type { Packet, Verdict } from "../../src/model/decision.js";
import {
  allMappings,
  type Destination,
  type Mapping,
  type Rules,
} from "../../src/model/mapping.js";

export interface Socket {
  readonly protocol: "tcp" | "udp";
  /** Canonical text; a socket bound to a v4-mapped address has its IPv4 address here. */
  readonly address: string;
  readonly port: number;
  /** Of an IPv6 socket: takes no IPv4. */
  readonly v6only: boolean;
  readonly cookie: string;
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

/** How well `on` fits the address: the length of the longest prefix that holds it; 0 for all addresses; null: not at all. */
function fit(mapping: Mapping, address: string): number | null {
  if (mapping.on.length === 0) return 0;
  const lengths = mapping.on.filter((prefix) => contains(prefix, address)).map(lengthOf);
  return lengths.length === 0 ? null : Math.max(...lengths);
}

/** Can a socket that is bound to this address take a packet of this family at all? */
const takes = (socket: Socket, ipv6: boolean): boolean =>
  isIpv6(socket.address) ? ipv6 || !socket.v6only : !ipv6;

const isWildcard = (socket: Socket): boolean =>
  socket.address === "0.0.0.0" || socket.address === "::";

/** The order in which destinations are tried: among neighbours of one service, the packet's own family first. */
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

export function decide(rules: Rules, sockets: readonly Socket[], packet: Packet): Expected {
  const { protocol, local, localPort } = packet;
  const ipv6 = isIpv6(local);
  const mappings = allMappings(rules);
  const unmanaged: Expected = {
    verdict: "unmanaged",
    mapping: null,
    destination: null,
    cookies: [],
  };
  const listening = sockets.filter((socket) => socket.protocol === protocol && takes(socket, ipv6));

  // 0. and 1.: which mapping. An address that a service owns is for those mappings only that name it.
  const owned = rules.file.services.some(({ addresses }) =>
    addresses.some((address) => address === local),
  );
  const candidates = mappings
    .map((mapping, index) => ({ mapping, index, fit: fit(mapping, local) }))
    .filter(
      ({ mapping, fit: length }) =>
        mapping.protocol === protocol && covers(mapping, localPort) && length !== null,
    )
    .filter(
      ({ mapping }) =>
        !owned || mapping.on.some((prefix) => isHost(prefix) && contains(prefix, local)),
    )
    .sort((a, b) => (b.fit ?? 0) - (a.fit ?? 0) || size(a.mapping) - size(b.mapping));
  const [best] = candidates;
  if (best === undefined) return unmanaged;
  const { mapping, index } = best;

  // 2.: who already listens there.
  const keeps = listening.some(
    (socket) =>
      socket.port === localPort &&
      (socket.address === local || (mapping.existing === "any" && isWildcard(socket))),
  );
  if (keeps && mapping.existing !== "never") {
    return { verdict: "existing", mapping: index, destination: null, cookies: [] };
  }

  // 3.: the first destination that listens and can take this family.
  for (const destination of order(mapping.to, ipv6)) {
    const { address, port } = mapping.to[destination] ?? { address: "*", port: "same" };
    const there = listening.filter(
      (socket) =>
        socket.port === (port === "same" ? localPort : port) &&
        (address === "*" ? isWildcard(socket) : socket.address === address),
    );
    if (there.length > 0) {
      return {
        verdict: "selected",
        mapping: index,
        destination,
        cookies: there.map(({ cookie }) => cookie),
      };
    }
  }

  // 4.: nobody there.
  const verdict = mapping.miss === "reject" ? "rejected" : "missed";
  return { verdict, mapping: index, destination: null, cookies: [] };
}

/** Do two mappings tie: is there a port, and a prefix that both name, at which neither comes before the other? */
export function tie(a: Mapping, b: Mapping): boolean {
  const shared =
    a.on.length === 0 && b.on.length === 0
      ? true
      : a.on.some((prefix) => b.on.some((other) => other === prefix));
  const overlap = a.ports.some((x) => b.ports.some((y) => x.first <= y.last && y.first <= x.last));
  return a.protocol === b.protocol && overlap && size(a) === size(b) && shared;
}
